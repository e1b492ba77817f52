//! The conformance interface: what the simulated programs decide, case by case, one JSON line each.
//!
//! Every answer comes from the functions that a run uses.

mod hpa;
mod ipamd;
mod karpenter;
mod kube_scheduler;
mod taints;

use crate::catalogue::Catalogue;

/// A program whose decisions can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// The horizontal pod autoscaler, one sync.
    Hpa,
    /// The VPC CNI's address pool on one node.
    Ipamd,
    /// Karpenter's scheduling loop, and what it would ask EC2 for.
    Karpenter,
    /// kube-scheduler's filters and scores for one pod.
    KubeScheduler,
}

/// The answer to one line, and whether the line was a good case. A bad one is answered with its error.
pub fn answer_line(program: Program, line: &str, catalogue: &Catalogue) -> (String, bool) {
    let answer = match program {
        Program::Hpa => hpa::answer(line),
        Program::Ipamd => ipamd::answer(line, catalogue),
        Program::Karpenter => karpenter::answer(line, catalogue),
        Program::KubeScheduler => kube_scheduler::answer(line),
    };
    match answer {
        Ok(json) => (json, true),
        Err(error) => {
            let id =
                serde_json::from_str::<serde_json::Value>(line).ok().and_then(|case| case.get("id").cloned());
            (serde_json::json!({ "id": id, "error": error }).to_string(), false)
        }
    }
}
