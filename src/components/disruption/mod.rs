//! Karpenter's disruption loop: one method after the other looks for nodes that may go, and the first that finds some acts.
//!
//! The loop is one thread: while an action waits out its 15 s before it is looked at again, nothing else is. 0.19's is told in
//! `deprovisioning`. Source: karpenter v1.14.0, `pkg/controllers/disruption/controller.go`.

mod awaited;
mod candidates;
mod deprovisioning;
mod emptiness;
mod queue;

use deprovisioning::Deprovisioning;

use super::*;
use crate::actors::karpenter::disruption::balanced;
use crate::actors::karpenter::disruption::candidates::{Candidate, interweave, sort, within_budgets};
use crate::actors::karpenter::disruption::consolidation::{
    Action, cheapest_price, consolidate, longest_prefix, other_type, still_holds,
};
use crate::actors::karpenter::disruption::simulation::{NewNode, Simulated, Situation, simulate};
use crate::scenario::{NodePoolSpec, Profile};

const POLL: SimDuration = SimDuration::from_secs(10);
/// The same while some claim has no instance.
const POLL_UNSYNCED: SimDuration = SimDuration::from_secs(1);
const VALIDATED_AFTER: SimDuration = SimDuration::from_secs(15);
/// A pass that came to nothing is not made again before something changes, or so much time has passed.
const LOOKS_AGAIN_AFTER: SimDuration = SimDuration::from_secs(300);
/// A search ends after so long.
const MULTI_NODE_TIMEOUT: SimDuration = SimDuration::from_secs(60);
const SINGLE_NODE_TIMEOUT: SimDuration = SimDuration::from_secs(180);

/// The methods, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    Emptiness,
    Drift,
    MultiNode,
    SingleNode,
}

impl Method {
    const ALL: [Method; 4] = [Method::Emptiness, Method::Drift, Method::MultiNode, Method::SingleNode];

    const fn reason(self) -> Reason {
        match self {
            Method::Emptiness => Reason::Empty,
            Method::Drift => Reason::Drifted,
            Method::MultiNode | Method::SingleNode => Reason::Underutilized,
        }
    }
}

/// Nodes that go, and what comes first.
#[derive(Clone, Debug)]
struct Command {
    reason: Reason,
    candidates: Vec<Candidate>,
    new_nodes: Vec<NewNode>,
    /// Nodes that are meant to take their pods.
    onto: Vec<u32>,
}

/// The loop's memory.
#[derive(Clone, Debug)]
pub(super) struct Disruption {
    /// Does any pool want it?
    pub on: bool,
    /// When something last changed that consolidation looks at.
    pub changed_at: SimTime,
    /// By method: what `changed_at` was at the last pass that came to nothing.
    fruitless: [Option<SimTime>; Method::ALL.len()],
    /// What waits to be looked at again, and the method's place.
    validating: Option<(usize, Command)>,
    queue: Vec<queue::Started>,
    deprovisioning: Deprovisioning,
    /// What the pass under way has taken so far.
    took: SimDuration,
}

impl Disruption {
    pub fn new(scenario: &Scenario) -> Disruption {
        // The loop of 2022 takes nodes that have come of age, too.
        let expires =
            |pool: &NodePoolSpec| scenario.profile == Profile::Nov2022 && pool.expire_after.is_some();
        let wants =
            |pool: &NodePoolSpec| pool.disruption.is_some() || pool.drift_at.is_some() || expires(pool);
        Disruption {
            on: scenario.node_pools.iter().any(wants),
            changed_at: SimTime::ZERO,
            fruitless: [None; Method::ALL.len()],
            validating: None,
            queue: Vec::new(),
            deprovisioning: Deprovisioning::new(scenario),
            took: SimDuration::ZERO,
        }
    }
}

/// The cluster as simulations of one pass see it.
struct View {
    /// Nodes by their places, and the places of nodes.
    nodes: Vec<u32>,
    places: BTreeMap<u32, usize>,
    situation: Situation,
}

impl Run<'_> {
    pub(super) fn start_disruption(&mut self) {
        if self.disruption.on {
            // The loop's phase against the scale command is anybody's guess.
            let phase = self.chance.uniform(Component::Karpenter, u32::MAX, 0);
            self.at(SimTime::ZERO + POLL.mul_f64(phase), Event::DisruptionPolled);
        }
    }

    pub(super) fn disruption_polled(&mut self) {
        if self.prepared.era.deprovisioning {
            self.deprovision(0);
        } else if self.unlaunched > 0 {
            self.at(self.now + POLL_UNSYNCED, Event::DisruptionPolled);
        } else {
            self.try_methods(0);
        }
    }

    /// The methods from this one on. All but drift look again after a while at what they found.
    fn try_methods(&mut self, from: usize) {
        self.disruption.took = SimDuration::ZERO;
        for place in from..Method::ALL.len() {
            let method = Method::ALL[place];
            let Some(command) = self.find_command(method) else { continue };
            if method == Method::Drift {
                self.start_command(command);
                self.at(self.now, Event::DisruptionPolled);
            } else {
                self.disruption.validating = Some((place, command));
                let takes = self.disruption.took + VALIDATED_AFTER;
                self.at(self.now + takes, Event::DisruptionValidated);
            }
            return;
        }
        self.at(self.now + self.disruption.took + POLL, Event::DisruptionPolled);
    }

    pub(super) fn disruption_validated(&mut self) {
        if self.prepared.era.deprovisioning {
            return self.deprovisioning_validated();
        }
        let (place, command) = self.disruption.validating.take().expect("a command waits to be validated");
        match self.validate(Method::ALL[place], command) {
            Some(command) => {
                self.start_command(command);
                self.at(self.now, Event::DisruptionPolled);
            }
            None => self.try_methods(place + 1),
        }
    }

    fn find_command(&mut self, method: Method) -> Option<Command> {
        if method != Method::Drift && self.is_consolidated(method) {
            return None;
        }
        let mut candidates = self.candidates(method);
        if candidates.is_empty() {
            return None;
        }
        let mut allowed = self.allowed_disruptions(method.reason());
        if method == Method::Drift {
            return self.find_drifted(candidates, &allowed);
        }
        sort(&mut candidates);
        let (found, constrained) = match method {
            Method::SingleNode => self.find_single(candidates, &allowed),
            _ => {
                let (kept, constrained) = within_budgets(candidates, &mut allowed);
                let found = match method {
                    Method::Emptiness => (!kept.is_empty()).then(|| Command::of(method.reason(), kept)),
                    _ => self.find_multi(kept),
                };
                (found, constrained)
            }
        };
        if found.is_none() && !constrained {
            self.disruption.fruitless[method as usize] = Some(self.disruption.changed_at);
        }
        found
    }

    /// Has nothing changed since the method last found nothing?
    fn is_consolidated(&mut self, method: Method) -> bool {
        let disruption = &mut self.disruption;
        if self.now.since(disruption.changed_at) >= LOOKS_AGAIN_AFTER {
            disruption.changed_at = self.now;
        }
        disruption.fruitless[method as usize] == Some(disruption.changed_at)
    }

    /// The first drifted node whose pods would find a place, those without pods first. It is replaced by as many as it takes.
    fn find_drifted(&mut self, candidates: Vec<Candidate>, allowed: &[u32]) -> Option<Command> {
        let (empty, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| c.pods.is_empty());
        let mut view = self.view(false);
        for candidate in empty.into_iter().chain(others).filter(|c| allowed[c.pool as usize] > 0) {
            let simulated = self.simulated(&mut view, std::slice::from_ref(&candidate));
            if simulated.all_fit {
                let onto = view.named(&simulated.onto);
                let (reason, new_nodes) = (Reason::Drifted, simulated.new_nodes);
                return Some(Command { reason, candidates: vec![candidate], new_nodes, onto });
            }
        }
        None
    }

    fn find_multi(&mut self, candidates: Vec<Candidate>) -> Option<Command> {
        let mut view = self.view(true);
        let totals = self.pool_totals();
        longest_prefix(candidates.len(), |count| {
            if self.disruption.took > MULTI_NODE_TIMEOUT {
                return None;
            }
            self.consolidated(&mut view, &candidates[..count], &totals)
        })
    }

    /// The first node of each pool in turn that can go; and whether budgets kept any back.
    fn find_single(&mut self, candidates: Vec<Candidate>, allowed: &[u32]) -> (Option<Command>, bool) {
        let mut view = self.view(true);
        let totals = self.pool_totals();
        let mut constrained = false;
        for candidate in interweave(candidates) {
            if self.disruption.took > SINGLE_NODE_TIMEOUT {
                return (None, true);
            }
            if allowed[candidate.pool as usize] == 0 {
                constrained = true;
                continue;
            }
            let found = self.consolidated(&mut view, std::slice::from_ref(&candidate), &totals);
            if found.is_some() {
                return (found, constrained);
            }
        }
        (None, constrained)
    }

    /// What is done about these candidates together.
    fn consolidated(
        &mut self,
        view: &mut View,
        candidates: &[Candidate],
        totals: &[Option<balanced::PoolTotals>],
    ) -> Option<Command> {
        let simulated = self.simulated(view, candidates);
        let offers = &mut self.provisioner.offers;
        let spot_to_spot = self.scenario.karpenter.spot_to_spot_consolidation;
        let mut action = consolidate(offers, candidates, &simulated, spot_to_spot).ok()?;
        if candidates.len() > 1
            && let Action::Replace(new) = action
        {
            action = Action::Replace(other_type(offers, candidates, new).ok()?);
        }
        let price: f64 = candidates.iter().map(|candidate| candidate.price).sum();
        let new_nodes = match action {
            Action::Delete => Vec::new(),
            Action::Replace(new) => vec![new],
        };
        let new_price = |new: &NewNode| cheapest_price(offers, new.spec.types[0]);
        let savings = price - new_nodes.iter().filter_map(new_price).sum::<f64>();
        let onto = view.named(&simulated.onto);
        balanced::approves(candidates, savings, totals).then(|| Command {
            reason: Reason::Underutilized,
            candidates: candidates.to_vec(),
            new_nodes,
            onto,
        })
    }

    /// The command as it still holds; `None`: it does not.
    fn validate(&mut self, method: Method, mut command: Command) -> Option<Command> {
        let now = self.candidates(method);
        let named = |candidate: &Candidate| command.candidates.iter().any(|c| c.node == candidate.node);
        let left: Vec<Candidate> = now.into_iter().filter(named).collect();
        let mut allowed = self.allowed_disruptions(method.reason());
        let (kept, _) = within_budgets(left, &mut allowed);
        if method == Method::Emptiness {
            command.candidates = kept;
            return (!command.candidates.is_empty()).then_some(command);
        }
        if kept.len() != command.candidates.len() {
            return None;
        }
        let mut view = self.view(true);
        let simulated = self.simulated(&mut view, &kept);
        still_holds(&command.new_nodes, &simulated).then_some(command)
    }

    fn simulated(&mut self, view: &mut View, candidates: &[Candidate]) -> Simulated {
        let gone: Vec<usize> = candidates.iter().filter_map(|c| view.places.get(&c.node)).copied().collect();
        let pods: Vec<u32> = candidates.iter().flat_map(|candidate| &candidate.pods).copied().collect();
        let simulated = simulate(&mut self.provisioner, &mut view.situation, &gone, &pods);
        let costs = [Latency::SolvePerPod, Latency::SolvePerExistingTried, Latency::SolvePerClaimTried];
        for (latency, count) in costs.into_iter().zip(simulated.effort) {
            self.disruption.took += self.draw(latency, Component::Karpenter, 0, 0).mul_f64(count as f64);
        }
        simulated
    }
}

impl Command {
    fn of(reason: Reason, candidates: Vec<Candidate>) -> Command {
        Command { reason, candidates, new_nodes: Vec::new(), onto: Vec::new() }
    }
}

impl View {
    fn named(&self, places: &[u32]) -> Vec<u32> {
        places.iter().map(|place| self.nodes[*place as usize]).collect()
    }
}
