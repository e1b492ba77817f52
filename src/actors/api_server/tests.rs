use std::collections::BTreeSet;

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

const CONTROLLERS: Flow = Flow::KubeSystem(Namespace::Default);
const AGENTS: Flow = Flow::KubeSystem(Namespace::None);
const SCHEDULER: Flow = Flow::Scheduler(Namespace::Default);

#[test]
fn a_flow_has_as_many_waiting_as_six_queues_hold() {
    let mut server = ApiServer::new(1);
    let come = |server: &mut ApiServer, request, flow| {
        server.arrive(request, flow, 1, SimTime::ZERO, &mut Vec::new())
    };
    assert_eq!(come(&mut server, 0, CONTROLLERS), Arrival::Seated);
    assert!((1..=300).all(|request| come(&mut server, request, CONTROLLERS) == Arrival::Waits));
    assert_eq!(come(&mut server, 301, CONTROLLERS), Arrival::Refused);
    assert_eq!(come(&mut server, 302, SCHEDULER), Arrival::Waits, "another flow has its own places");
}

#[test]
fn an_idle_level_lends_and_takes_back_what_it_needs() {
    let mut server = ApiServer::new(600);
    let mut seated = Vec::new();
    let come = |server: &mut ApiServer, requests: std::ops::Range<u32>, flow, now| {
        requests.for_each(|request| {
            assert_ne!(server.arrive(request, flow, 1, now, &mut Vec::new()), Arrival::Refused)
        });
    };
    come(&mut server, 0..500, Flow::ServiceAccounts, SimTime::ZERO);
    let of = |server: &ApiServer, level: Level| server.levels[level as usize].limit;
    server.lend(SimTime::from_secs(10), &mut seated);
    assert!(of(&server, Level::WorkloadLow) > 245 + 100, "{}", of(&server, Level::WorkloadLow));
    assert_eq!(of(&server, Level::WorkloadHigh), 49, "half of its 98 is its own");
    assert_eq!(seated.len() as u32, of(&server, Level::WorkloadLow) - 245, "who waited has the seats lent");
    come(&mut server, 500..700, CONTROLLERS, SimTime::from_secs(10));
    server.lend(SimTime::from_secs(20), &mut seated);
    assert!(of(&server, Level::WorkloadHigh) > 49);
}

/// A hundred lists of agents wait, each of ten seats, as kube-scheduler comes with its own requests: it has its turn as long as it
/// asks for no more than the agents.
#[test]
fn agents_do_not_crowd_the_scheduler_out() {
    let mut server = ApiServer::new(600);
    let mut served = Vec::new();
    let now = SimTime::ZERO;
    (0..100).for_each(|request| {
        assert_ne!(server.arrive(request, AGENTS, 10, now, &mut served), Arrival::Refused)
    });
    assert_eq!(served.len(), 9, "98 seats");
    (100..150).for_each(|request| {
        assert_ne!(server.arrive(request, SCHEDULER, 1, now, &mut served), Arrival::Refused)
    });
    let (mut step, mut waited) = (0, 0);
    // What is served longest leaves, each after 30 ms.
    while served.iter().any(|request| *request < 100) && waited < 50 {
        step += 1;
        let gone = served.remove(0);
        let now = SimTime::ZERO + SimDuration::from_millis(30) * step;
        server.leave(gone, Level::WorkloadHigh, now, &mut served);
        waited = served.iter().filter(|request| **request >= 100).count().max(waited);
    }
    // Ten places come free with a list, and more than one of them goes to the scheduler.
    assert!(waited >= 10 && step < 60, "{waited} at once after {step}");
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
    assert_eq!(server.levels[Level::System as usize].limit, servers);
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
                let (at, gone) = departures.pop_first().unwrap();
                server.leave(gone, Level::System, at, &mut seated);
                at
            }
            _ => {
                came[customer as usize] = next;
                assert_ne!(server.arrive(customer, Flow::Node(0), 1, next, &mut seated), Arrival::Refused);
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

const FLOWS: [Flow; 8] = [
    Flow::Node(1),
    Flow::Node(2),
    Flow::NodeStatus(1),
    SCHEDULER,
    CONTROLLERS,
    AGENTS,
    Flow::ServiceAccounts,
    Flow::Others,
];

/// The server's requests as a test keeps them.
#[derive(Default)]
struct Kept {
    /// By request: flow and width.
    known: Vec<(Flow, u32)>,
    /// In order of arrival.
    waiting: Vec<u32>,
    served: Vec<u32>,
}

impl Kept {
    fn level(&self, request: u32) -> Level {
        self.known[request as usize].0.level()
    }
    fn width(&self, request: u32) -> u32 {
        self.known[request as usize].1
    }
    /// Who has seats now waited; of those in one queue whoever came first.
    fn seat(&mut self, server: &ApiServer, seated: Vec<u32>) -> Result<(), TestCaseError> {
        for request in seated {
            let of = |other: u32| (self.level(other), server.places[other as usize].queue);
            let first = self.waiting.iter().position(|other| of(*other) == of(request));
            prop_assert_eq!(
                first.map(|place| self.waiting[place]),
                Some(request),
                "first come, first served"
            );
            self.waiting.remove(first.unwrap());
            self.served.push(request);
        }
        Ok(())
    }
    fn check(&self, server: &ApiServer, looked: bool) -> Result<(), TestCaseError> {
        for level in Level::ALL {
            let seats = &server.levels[level as usize];
            let of_level = |request: &&u32| self.level(**request) == level;
            let sum = |requests: &[u32]| {
                let of_level = requests.iter().filter(of_level);
                of_level.map(|request| self.width(*request)).sum::<u32>()
            };
            prop_assert_eq!(
                (seats.queues.busy, seats.queues.seats_waiting),
                (sum(&self.served), sum(&self.waiting))
            );
            prop_assert!(seats.limit >= seats.kept, "a level keeps its own");
            let widest = self.waiting.iter().filter(of_level).map(|request| self.width(*request)).max();
            if let Some(widest) = widest.filter(|_| looked) {
                prop_assert!(seats.queues.busy > 0, "somebody is served while others wait");
                prop_assert!(
                    seats.queues.busy + widest > seats.limit,
                    "nobody waits beside seats that are enough"
                );
            }
        }
        let sum = |of: fn(&Seats) -> u32| server.levels.iter().map(of).sum::<u32>();
        prop_assert!(sum(|seats| seats.limit) <= sum(|seats| seats.nominal), "seats are not made by lending");
        Ok(())
    }
}

proptest! {
    /// Any order of arrivals, ends, timeouts and lending: seats are never exceeded where one is given, each queue is first come,
    /// first served, and no seat idles beside all who wait.
    #[test]
    fn seats_are_kept_in_line_and_used(seats in 1u32..60, steps in prop::collection::vec((0u8..8, 0usize..64, 1u32..4), 1..200)) {
        let mut server = ApiServer::new(seats);
        let mut kept = Kept::default();
        let mut now = SimTime::ZERO;
        // Whom someone who gave up kept waiting has seats with the next change.
        let mut looked = true;
        for (what, which, width) in steps {
            now += SimDuration::from_millis(500 * which as u64 + 1);
            let mut seated = Vec::new();
            let before = server.clone();
            match what {
                0..=3 => {
                    let (request, flow) = (kept.known.len() as u32, FLOWS[which % FLOWS.len()]);
                    kept.known.push((flow, width));
                    if server.arrive(request, flow, width, now, &mut seated) != Arrival::Refused {
                        kept.waiting.push(request);
                    }
                }
                4 | 5 if !kept.served.is_empty() => {
                    let gone = kept.served.remove(which % kept.served.len());
                    server.leave(gone, kept.level(gone), now, &mut seated);
                }
                6 if !kept.waiting.is_empty() => {
                    let gone = kept.waiting.remove(which % kept.waiting.len());
                    server.give_up(gone, kept.level(gone), now);
                    looked = false;
                }
                7 => {
                    server.lend(now, &mut seated);
                    looked = true;
                }
                _ => {}
            }
            if what != 7 {
                for request in &seated {
                    let (seats, width) = (&before.levels[kept.level(*request) as usize], kept.width(*request));
                    let alone = server.levels[kept.level(*request) as usize].queues.busy == width;
                    let limit = seats.limit.max(1);
                    let busy = server.levels[kept.level(*request) as usize].queues.busy;
                    prop_assert!(alone || busy <= limit, "a seat too many");
                }
            }
            kept.seat(&server, seated)?;
            kept.check(&server, looked)?;
        }
    }
}
