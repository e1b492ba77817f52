use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::chance::{Chance, Component, Distribution};

#[test]
fn seats_of_600_are_the_published_ones() {
    let seats = Level::ALL.map(|level| level.seats(600));
    assert_eq!(seats, [74, 98, 25, 98, 245, 49, 13]);
}

#[test]
fn a_list_takes_a_seat_for_each_hundred_objects_up_to_its_level_s_share() {
    let server = ApiServer::new(600);
    let widths = [0, 100, 101, 5_000].map(|objects| server.seats_of_list(Flow::ServiceAccounts, objects));
    assert_eq!(widths, [1, 1, 2, 10]);
    assert_eq!(server.seats_of_list(Flow::Others, 5_000), 8, "15 % of 49");
}

#[test]
fn a_flow_has_as_many_waiting_as_six_queues_hold() {
    let mut server = ApiServer::new(1);
    let come = |server: &mut ApiServer, request, flow| server.arrive(request, flow, 1, SimTime::ZERO);
    assert_eq!(come(&mut server, 0, Flow::KubeSystem), Arrival::Seated);
    assert!((1..=300).all(|request| come(&mut server, request, Flow::KubeSystem) == Arrival::Waits));
    assert_eq!(come(&mut server, 301, Flow::KubeSystem), Arrival::Refused);
    assert_eq!(come(&mut server, 302, Flow::Scheduler), Arrival::Waits, "another flow has its own places");
}

#[test]
fn an_idle_level_lends_and_takes_back_what_it_needs() {
    let mut server = ApiServer::new(600);
    let mut seated = Vec::new();
    let flow = Flow::ServiceAccounts;
    (0..500).for_each(|request| {
        server.arrive(request, flow, 1, SimTime::ZERO);
    });
    let of = |server: &ApiServer, level: Level| server.queues[level as usize].limit;
    server.lend(SimTime::from_secs(10), &mut seated);
    assert!(of(&server, Level::WorkloadLow) > 245 + 100, "{}", of(&server, Level::WorkloadLow));
    assert_eq!(of(&server, Level::WorkloadHigh), 49, "half of its 98 is its own");
    assert_eq!(seated.len() as u32, of(&server, Level::WorkloadLow) - 245, "who waited has the seats lent");
    (500..700).for_each(|request| {
        server.arrive(request, Flow::KubeSystem, 1, SimTime::from_secs(10));
    });
    server.lend(SimTime::from_secs(20), &mut seated);
    assert!(of(&server, Level::WorkloadHigh) > 49);
}

/// Mean waiting time of M/M/c [service times].
fn erlang_c_wait(servers: u32, load: f64) -> f64 {
    let mut blocked = 1.0;
    for count in 1..=servers {
        blocked = load * blocked / (f64::from(count) + load * blocked);
    }
    let servers = f64::from(servers);
    let waits = blocked / (1.0 - load / servers * (1.0 - blocked));
    waits / (servers - load)
}

/// Mean waiting of `customers` in batches, with the standard error of the mean.
fn simulated_wait(servers: u32, load: f64, customers: u32) -> (f64, f64) {
    const BATCHES: u32 = 100;
    let mut server = ApiServer::new((servers * 245 - 244).div_ceil(30));
    assert_eq!(server.queues[Level::System as usize].limit, servers);
    let law = |mean: f64, draw, customer| {
        let uniform = Chance::new(11, servers).uniform(Component::ApiRequest, customer, draw);
        SimDuration::from_secs_f64(Distribution::Exponential { mean }.quantile(uniform))
    };
    let mut departures: BTreeSet<(SimTime, u32)> = BTreeSet::new();
    let (mut came, mut waits) = (vec![SimTime::ZERO; customers as usize], vec![0.0; customers as usize]);
    let (mut next, mut customer, mut seated) = (SimTime::ZERO, 0, Vec::new());
    while customer < customers {
        let now = match departures.first() {
            Some((at, _)) if *at <= next => {
                let (at, _) = departures.pop_first().unwrap();
                server.leave(Level::System, 1, at, &mut seated);
                at
            }
            _ => {
                came[customer as usize] = next;
                if server.arrive(customer, Flow::Nodes, 1, next) == Arrival::Seated {
                    seated.push(customer);
                }
                let now = next;
                next += law(1.0 / load, 0, customer);
                customer += 1;
                now
            }
        };
        for one in seated.drain(..) {
            waits[one as usize] = now.since(came[one as usize]).secs_f64();
            departures.insert((now + law(1.0, 1, one), one));
        }
    }
    let means: Vec<f64> = waits
        .chunks((customers / BATCHES) as usize)
        .map(|batch| batch.iter().sum::<f64>() / batch.len() as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / f64::from(BATCHES);
    let variance = means.iter().map(|one| (one - mean) * (one - mean)).sum::<f64>() / f64::from(BATCHES - 1);
    (mean, (variance / f64::from(BATCHES)).sqrt())
}

#[test]
fn waiting_is_that_of_erlang_c() {
    assert!((erlang_c_wait(1, 0.8) - 4.0).abs() < 1e-12, "M/M/1: rho / (1 - rho) = 0.8 / 0.2");
    for (servers, load) in [(1, 0.7), (3, 2.4), (20, 18.0)] {
        let (mean, error) = simulated_wait(servers, load, 200_000);
        let wanted = erlang_c_wait(servers, load);
        assert!((mean - wanted).abs() < 2.0 * error, "M/M/{servers}: {mean} +- {error}, Erlang C {wanted}");
        assert!(error < 0.1 * wanted, "the test can tell: {error} of {wanted}");
    }
}

const FLOWS: [Flow; 6] =
    [Flow::Nodes, Flow::NodeStatus, Flow::Scheduler, Flow::KubeSystem, Flow::ServiceAccounts, Flow::Others];

/// The server's requests as a test keeps them.
#[derive(Default)]
struct Kept {
    /// By request: flow and width.
    known: Vec<(Flow, u32)>,
    /// Waiting, by level, in order of arrival.
    waiting: BTreeMap<u8, Vec<u32>>,
    served: Vec<u32>,
}

impl Kept {
    fn level(&self, request: u32) -> Level {
        self.known[request as usize].0.level()
    }
    /// Who has seats now must have been at the head of its level's line.
    fn seat(&mut self, seated: Vec<u32>) -> Result<(), TestCaseError> {
        for request in seated {
            let line = self.waiting.get_mut(&(self.known[request as usize].0.level() as u8)).unwrap();
            prop_assert_eq!(line.remove(0), request, "first come, first served");
            self.served.push(request);
        }
        Ok(())
    }
    fn check(&self, server: &ApiServer) -> Result<(), TestCaseError> {
        for level in Level::ALL {
            let queue = &server.queues[level as usize];
            let of_level = |request: &&u32| self.level(**request) == level;
            let busy: u32 =
                self.served.iter().filter(of_level).map(|request| self.known[*request as usize].1).sum();
            prop_assert_eq!(queue.busy, busy);
            prop_assert!(queue.limit >= queue.kept, "a level keeps its own");
            if let Some(head) = self.waiting.get(&(level as u8)).and_then(|line| line.first()) {
                let width = self.known[*head as usize].1;
                prop_assert!(busy > 0 && busy + width > queue.limit, "nobody waits beside free seats");
            }
        }
        let sum = |of: fn(&Queue) -> u32| server.queues.iter().map(of).sum::<u32>();
        prop_assert!(sum(|queue| queue.limit) <= sum(|queue| queue.nominal), "seats are not made by lending");
        Ok(())
    }
}

proptest! {
    /// Any order of arrivals, ends, timeouts and lending: seats are never exceeded where one is given, each level is first
    /// come, first served, and no seat idles beside one who waits for it.
    #[test]
    fn seats_are_kept_in_line_and_used(seats in 1u32..60, steps in prop::collection::vec((0u8..8, 0usize..64, 1u32..4), 1..200)) {
        let mut server = ApiServer::new(seats);
        let mut kept = Kept::default();
        let mut now = SimTime::ZERO;
        for (what, which, width) in steps {
            now += SimDuration::from_millis(500 * which as u64 + 1);
            let mut seated = Vec::new();
            let before = server.clone();
            match what {
                0..=3 => {
                    let (request, flow) = (kept.known.len() as u32, FLOWS[which % FLOWS.len()]);
                    kept.known.push((flow, width));
                    match server.arrive(request, flow, width, now) {
                        Arrival::Seated => {
                            let queue = &before.queues[flow.level() as usize];
                            prop_assert!(queue.busy == 0 || queue.busy + width <= queue.limit, "a seat too many");
                            kept.served.push(request);
                        }
                        Arrival::Waits => kept.waiting.entry(flow.level() as u8).or_default().push(request),
                        Arrival::Refused => {}
                    }
                }
                4 | 5 if !kept.served.is_empty() => {
                    let gone = kept.served.remove(which % kept.served.len());
                    server.leave(kept.level(gone), kept.known[gone as usize].1, now, &mut seated);
                }
                6 => {
                    let Some(line) = kept.waiting.values_mut().find(|line| !line.is_empty()) else { continue };
                    let gone = line.remove(which % line.len());
                    server.give_up(gone, kept.level(gone), now, &mut seated);
                }
                7 => server.lend(now, &mut seated),
                _ => {}
            }
            kept.seat(seated)?;
            kept.check(&server)?;
        }
    }
}
