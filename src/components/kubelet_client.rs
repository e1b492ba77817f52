//! kubelet's own limit on its calls of the API server, which all pods that start on its node share.
//!
//! A pod takes 3.4 calls until it is Ready: 100 pods on a node were all Ready after 67.5 s at 5 calls a second with a burst of
//! 10, and after 32.8 s at 10 with 20 (bottlerocket-os/bottlerocket#2436). A token of its service account and what is told of
//! it on the way come before its sandbox; the status that says Ready is read and patched.

use super::*;

/// A call is counted as five.
const CALL: u32 = 5;
const BEFORE_SANDBOX: u32 = 7;
const TO_TELL: u32 = 10;

/// A node's limit, by `kubeAPIQPS` and `kubeAPIBurst`.
pub(super) fn bucket((qps, burst): (u32, u32)) -> ClientBucket {
    ClientBucket::new(CALL * qps, CALL * burst)
}

impl Run<'_> {
    /// When kubelet has made the calls that come before the sandbox of a pod bound now.
    pub(super) fn kubelet_sees_to(&mut self, node: u32) -> SimTime {
        let now = self.now;
        self.nodes[node as usize].kubelet_client.reserve_many(BEFORE_SANDBOX, now)
    }

    /// kubelet has the start of this number of the pod's container to tell of. When it can, if not now; asked again it can.
    pub(super) fn kubelet_tells_later(&mut self, pod: u32, start: u32) -> Option<SimTime> {
        let (now, state) = (self.now, &mut self.pods[pod as usize]);
        if std::mem::replace(&mut state.told_start, start) == start {
            return None;
        }
        let sent = self.nodes[state.node as usize].kubelet_client.reserve_many(TO_TELL, now);
        (sent > now).then_some(sent)
    }
}
