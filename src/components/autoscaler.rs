//! The horizontal pod autoscaler: a sync every so often, which looks at the load its Deployment's Ready pods share.
//!
//! It only scales out: a run ends once its target is reached.

use super::state::PodStage;
use super::*;
use crate::actors::hpa::{At, Autoscaler, Behavior, Metric, PodMetric, PodState, Policies};
use crate::scenario::AutoscalerSpec;

impl Run<'_> {
    /// By Deployment, the autoscaler's memory.
    pub(super) fn start_autoscalers(&mut self) {
        for (index, deployment) in self.scenario.deployments.iter().enumerate() {
            let machine = deployment.autoscaler.as_ref().map(|spec| {
                // Its phase against the scale command is anybody's guess.
                let phase = self.chance.uniform(Component::Autoscaler, index as u32, 0);
                self.at(SimTime::ZERO + spec.sync.mul_f64(phase), Event::AutoscalerSyncs(index as u32));
                Autoscaler {
                    min: spec.min as i32,
                    max: spec.max as i32,
                    tolerance: spec.tolerance,
                    behavior: spec.scale_up.clone().map(|up| Behavior { up, down: Policies::default_down() }),
                    recommendations: Vec::new(),
                    scale_events: Vec::new(),
                }
            });
            self.autoscalers.push(machine);
        }
    }

    pub(super) fn autoscaler_syncs(&mut self, deployment: u32) {
        let spec = &self.scenario.deployments[deployment as usize];
        let spec = spec.autoscaler.as_ref().expect("it has an autoscaler");
        let metric = self.utilisation(deployment, spec);
        let (now_ms, current) = (self.now.millis() as i64, self.replicas_of(deployment) as i32);
        let machine = self.autoscalers[deployment as usize].as_mut().expect("it has an autoscaler");
        if machine.recommendations.is_empty() {
            // The first sync of an object remembers its count before anything else.
            machine.recommendations.push(At { at_ms: now_ms, value: current });
        }
        let outcome = machine.sync(current, &metric, now_ms);
        machine.recommendations.extend(outcome.proposal.map(|value| At { at_ms: now_ms, value }));
        let more = outcome.desired - current;
        if more > 0 {
            machine.scale_events.push(At { at_ms: now_ms, value: more });
            let takes = self.draw(Latency::FirstPod, Component::Autoscaler, deployment, 1 + now_ms as u32);
            self.scale_deployment(deployment, outcome.desired as u32, takes);
        }
        self.trace(|| TraceLine::new("autoscaled").count("replicas", outcome.desired.max(current) as usize));
        self.at(self.now + spec.sync, Event::AutoscalerSyncs(deployment));
    }

    /// What the metrics server tells: Ready pods share the load evenly; young ones have no metric yet, and what is not
    /// Ready is left out by the autoscaler itself.
    fn utilisation(&self, deployment: u32, spec: &AutoscalerSpec) -> Metric {
        let offered = spec.load.iter().rev().find(|(at, _)| *at <= self.now).map_or(0.0, |(_, value)| *value);
        let request = self.scenario.deployments[deployment as usize].requests.cpu_millis;
        let of = || self.pods.iter().filter(|pod| self.owner(pod.deployment) == deployment);
        let ready = of().filter(|pod| pod.stage == PodStage::Ready).count().max(1);
        let share = offered / ready as f64 / spec.pod_capacity;
        let usage = (share.min(f64::from(spec.limit_percent) / 100.0) * request as f64) as i64;
        let told = |pod: &Pod| {
            let (usage_millis, state) = match pod.stage {
                PodStage::Ready if self.now.since(pod.ready_at) >= spec.metrics_age => {
                    (Some(usage), PodState::Ready)
                }
                PodStage::Ready => (None, PodState::Missing),
                _ => (None, PodState::Ignored),
            };
            PodMetric { usage_millis, request_millis: request, state }
        };
        Metric::Utilisation {
            target_percent: spec.target_percent as i32,
            pods: of().filter(|pod| pod.is_active()).map(told).collect(),
        }
    }
}
