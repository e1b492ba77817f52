//! kubelet's eviction manager where a node's memory runs short, and the taint that follows the node's condition.
//!
//! kubelet looks every 10 s; a look that finds pressure evicts one pod, and the next comes as soon as that one is gone. Its
//! condition goes out with the node's next status, the node lifecycle controller adds the taint
//! `node.kubernetes.io/memory-pressure:NoSchedule` and takes it off again. Left out: looks at statistics that are some seconds
//! old, refusal of best-effort pods under pressure. Source: Kubernetes 1.34.1 `pkg/kubelet/eviction/eviction_manager.go`.

use super::memory_use::Tenant;
use super::*;
use crate::actors::memory_pressure::{EVICTION_GRACE, MONITORING_PERIOD, TRANSITION_PERIOD, first_to_evict};

/// `nodeStatusUpdateFrequency`
const STATUS_PERIOD: SimDuration = SimDuration::from_secs(10);
/// Whether an evicted pod is gone is looked at so often.
const CLEANUP_POLL: SimDuration = SimDuration::from_secs(1);

impl Run<'_> {
    /// kubelet will see the pressure at its next look.
    pub(super) fn watch_memory(&mut self, node: u32) {
        self.memory_of(node).watched = true;
        let phase = MONITORING_PERIOD.mul_f64(self.chance.uniform(Component::Eviction, node, 0));
        let period = MONITORING_PERIOD.nanos();
        let into = (self.now.nanos() + period - phase.nanos()) % period;
        let wait = SimDuration::from_nanos(period - into);
        self.at(self.now + wait, Event::EvictionLook(node));
    }

    pub(super) fn eviction_look(&mut self, node: u32) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        let (now, pods) = (self.now, self.memory_for_pods(node) as f64);
        let at = self.memory_of(node);
        let presses = at.line(now).exceeds(pods);
        if presses {
            at.pressed_at = Some(now);
            self.press(node, true);
            let gone = self.evict_first(node);
            let again = gone.unwrap_or(now + MONITORING_PERIOD);
            self.at(again, Event::EvictionLook(node));
        } else if at.pressed_at.is_some_and(|since| now < since + TRANSITION_PERIOD) {
            self.at(now + MONITORING_PERIOD, Event::EvictionLook(node));
        } else {
            at.watched = false;
            at.pressed_at = None;
            self.press(node, false);
            // From now on the bound below which pods must stay is looked out for again.
            self.memory_changed(node);
        }
    }

    /// kubelet's own condition; told with the next status of the node if it changes.
    fn press(&mut self, node: u32, pressed: bool) {
        if std::mem::replace(&mut self.memory_of(node).was_pressed, pressed) == pressed {
            return;
        }
        if pressed {
            self.memory.as_mut().expect("it is kept").counts.pressures += 1;
        }
        self.trace(|| TraceLine::new("memory_pressure").node(node).count("status", usize::from(pressed)));
        let at = &mut self.nodes[node as usize];
        at.draws += 1;
        let wait = STATUS_PERIOD.mul_f64(self.chance.uniform(Component::Eviction, node, at.draws));
        let (sent, reported) = (self.now + wait, Event::PressureReported(node));
        self.send_request(Flow::NodeStatus(node), RequestKind::Patch, sent, SimDuration::ZERO, reported);
    }

    /// The API server has the node's status: the node lifecycle controller reads and patches the node.
    pub(super) fn pressure_reported(&mut self, node: u32) {
        let at = self.memory_of(node);
        at.reported = at.was_pressed;
        self.lifecycle.client.reserve(self.now);
        let sent = self.lifecycle.client.reserve(self.now);
        let tainted = Event::PressureTainted(node);
        self.send_request(
            Flow::KubeSystem(Namespace::None),
            RequestKind::Patch,
            sent,
            SimDuration::ZERO,
            tainted,
        );
    }

    pub(super) fn pressure_tainted(&mut self, node: u32) {
        let pressed = self.memory_of(node).reported;
        let at = &mut self.nodes[node as usize];
        if !at.lives() || std::mem::replace(&mut at.memory_pressure, pressed) == pressed {
            return;
        }
        if pressed {
            self.refit(node);
            self.forsake(node);
        } else {
            self.untainted(node);
        }
    }

    /// Evicts the first in kubelet's order; tells when kubelet finds it gone, if there is any.
    fn evict_first(&mut self, node: u32) -> Option<SimTime> {
        let now = self.now;
        let memory = self.memory.as_ref().expect("it is kept");
        // Those that are told to go already are still there, and count no more.
        let there = |tenant: &&Tenant| self.pods[tenant.pod as usize].is_active();
        let tenants: Vec<&Tenant> = memory.nodes[node as usize].tenants.iter().filter(there).collect();
        let users: Vec<_> = tenants.iter().map(|tenant| tenant.user(now)).collect();
        let pod = tenants[first_to_evict(&users)?].pod;
        self.memory.as_mut().expect("it is kept").counts.evictions += 1;
        self.trace(|| TraceLine::new("pod_evicted").pod(pod).node(node));
        let gone = self.fail_pod(pod, EVICTION_GRACE);
        let polls = gone.since(now).nanos().div_ceil(CLEANUP_POLL.nanos());
        Some(now + CLEANUP_POLL * polls)
    }
}
