//! The API server between who asks and what follows on the answer, where a scenario has it; otherwise an answer takes the
//! request's own latency and nothing else.
//!
//! A request's latency counts from the moment it has its seats, and is at least the time that it holds them. Agents list
//! all pods from each node that is usable, one list at a time. Left out: the clients' own patience (a refused request is
//! sent again until it is served), events, leases, watches, and what the server's load does to its own speed.

use super::*;
use crate::actors::api_server::{self, Arrival, Flow, LENT_EVERY, Level, RETRIED_AFTER, WAITS_AT_MOST};
use crate::results::ApiServerRecord;
use crate::scenario::{ApiServerSpec, RequestKind};

/// Levels that a scale-out's own requests come to.
const OWN_LEVELS: [Level; 3] = [Level::System, Level::NodeHigh, Level::WorkloadHigh];

/// One request from its sending until it gives its seats back.
#[derive(Clone, Debug)]
struct Request {
    flow: Flow,
    kind: RequestKind,
    latency: SimDuration,
    answer: Event,
    /// Happens right after the answer.
    follows: Option<Event>,
    /// Known from its first arrival on.
    seats: u32,
    seat_time: SimDuration,
    came: Option<SimTime>,
    gives_up: Option<Scheduled>,
}

/// The server and the requests under way.
#[derive(Clone, Debug)]
pub(super) struct ApiServer {
    levels: api_server::ApiServer,
    requests: Vec<Request>,
    free: Vec<u32>,
    last: u32,
    arrived: u32,
    seated: Vec<u32>,
    /// By node: when its agent last began a list; `None`: it has none.
    listed: Vec<Option<SimTime>>,
    counts: ApiServerRecord,
}

impl ApiServer {
    pub fn new(spec: &ApiServerSpec) -> Box<ApiServer> {
        Box::new(ApiServer {
            levels: api_server::ApiServer::new(spec.seats),
            requests: Vec::new(),
            free: Vec::new(),
            last: 0,
            arrived: 0,
            seated: Vec::new(),
            listed: Vec::new(),
            counts: ApiServerRecord::default(),
        })
    }

    fn open(&mut self, request: Request) -> u32 {
        self.last = match self.free.pop() {
            Some(slot) => {
                self.requests[slot as usize] = request;
                slot
            }
            None => {
                self.requests.push(request);
                (self.requests.len() - 1) as u32
            }
        };
        self.last
    }

    /// What it has done until now; `agents` are those of the lists.
    pub fn record(&self, agents: Flow, now: SimTime) -> ApiServerRecord {
        let full = |level| self.levels.full_until(level, now).millis();
        ApiServerRecord {
            bound_ms: OWN_LEVELS.into_iter().map(full).max().unwrap_or(0),
            lists_bound_ms: full(agents.level()),
            ..self.counts
        }
    }
}

impl Run<'_> {
    pub(super) fn start_api_server(&mut self) {
        if self.api_server.is_some() {
            self.at(self.now + LENT_EVERY, Event::SeatsLent);
            (0..self.nodes.len() as u32).for_each(|node| self.start_agent(node));
        }
    }

    /// A request goes out at `sent` and is answered after its latency, and what it waits for seats: then `answer` happens.
    pub(super) fn send_request(
        &mut self,
        flow: Flow,
        kind: RequestKind,
        sent: SimTime,
        latency: SimDuration,
        answer: Event,
    ) {
        let Some(server) = &mut self.api_server else {
            self.at(sent + latency, answer);
            return;
        };
        let slot = server.open(Request {
            flow,
            kind,
            latency,
            answer,
            follows: None,
            seats: 0,
            seat_time: SimDuration::ZERO,
            came: None,
            gives_up: None,
        });
        self.at(sent, Event::RequestArrives(slot));
    }

    /// `event` happens with the answer to the last request, which is at `answered` if it waits for nothing.
    pub(super) fn with_last_answer(&mut self, answered: SimTime, event: Event) {
        match &mut self.api_server {
            Some(server) => server.requests[server.last as usize].follows = Some(event),
            None => {
                self.at(answered, event);
            }
        }
    }

    fn server(&mut self) -> &mut ApiServer {
        self.api_server.as_mut().expect("requests are under way only where there is a server")
    }

    pub(super) fn request_arrives(&mut self, slot: u32) {
        if self.server().requests[slot as usize].came.is_none() {
            self.measure_request(slot);
        }
        let mut arrival = Arrival::Refused;
        self.change_levels(|server, now, seated| {
            let request = &server.requests[slot as usize];
            arrival = server.levels.arrive(slot, request.flow, request.seats, now, seated);
        });
        match arrival {
            Arrival::Seated => {}
            Arrival::Waits => {
                let gives_up = self.at(self.now + WAITS_AT_MOST, Event::RequestGivesUp(slot));
                self.server().requests[slot as usize].gives_up = Some(gives_up);
            }
            Arrival::Refused => self.refuse(slot),
        }
    }

    /// How many seats it takes and for how long, at its first arrival.
    fn measure_request(&mut self, slot: u32) {
        let (scenario, chance, now, pods) = (self.scenario, self.chance, self.now, self.pods_there());
        let spec = scenario.api_server.as_ref().expect("the scenario has the server");
        let server = self.server();
        server.arrived += 1;
        let uniform = chance.uniform(Component::ApiRequest, server.arrived, 0);
        let request = &mut server.requests[slot as usize];
        let seconds = spec.seat_time(request.kind).quantile(uniform);
        let lists = request.kind == RequestKind::List;
        let (seats, part) = match lists {
            true => (server.levels.seats_of_list(request.flow, pods), f64::from(pods) / 1_000.0),
            false => (1, 1.0),
        };
        (request.seats, request.came) = (seats, Some(now));
        // An empty list takes some time too.
        request.seat_time = SimDuration::from_secs_f64(seconds * part).max(SimDuration::from_millis(1));
        server.counts.requests += u64::from(!lists);
        server.counts.lists += u64::from(lists);
    }

    /// Pods that a list of all finds.
    fn pods_there(&self) -> u32 {
        let unmade: usize = self.replica_sets.iter().map(|set| set.unmade.len()).sum();
        self.books.wanted_pods - unmade as u32 + self.daemon_pods()
    }

    fn seat_request(&mut self, slot: u32) {
        let now = self.now;
        let server = self.server();
        let request = &mut server.requests[slot as usize];
        let (answer, follows, seat_time) = (request.answer, request.follows, request.seat_time);
        let answered = now + request.latency.max(seat_time);
        let gives_up = request.gives_up.take();
        let waited = now.since(request.came.expect("it arrived"));
        if request.kind == RequestKind::List {
            server.counts.lists_waited += u64::from(!waited.is_zero());
        } else {
            server.counts.waited += u64::from(!waited.is_zero());
            server.counts.wait_ns += waited.nanos();
        }
        if let Some(gives_up) = gives_up {
            self.agenda.cancel(gives_up);
        }
        self.at(answered, answer);
        if let Some(follows) = follows {
            self.at(answered, follows);
        }
        self.at(now + seat_time, Event::RequestLeaves(slot));
    }

    fn refuse(&mut self, slot: u32) {
        let again = self.now + RETRIED_AFTER;
        let server = self.server();
        let lists = server.requests[slot as usize].kind == RequestKind::List;
        server.counts.refused += u64::from(!lists);
        self.at(again, Event::RequestArrives(slot));
    }

    /// Those who get seats from what `change` does to the levels.
    fn change_levels(&mut self, change: impl FnOnce(&mut ApiServer, SimTime, &mut Vec<u32>)) {
        let now = self.now;
        let server = self.server();
        let mut seated = std::mem::take(&mut server.seated);
        change(server, now, &mut seated);
        seated.drain(..).for_each(|slot| self.seat_request(slot));
        self.server().seated = seated;
    }

    pub(super) fn request_leaves(&mut self, slot: u32) {
        self.change_levels(|server, now, seated| {
            let request = &server.requests[slot as usize];
            server.levels.leave(slot, request.flow.level(), now, seated);
            server.free.push(slot);
        });
    }

    /// It has waited for as long as the server lets it.
    pub(super) fn request_gives_up(&mut self, slot: u32) {
        let now = self.now;
        let server = self.server();
        let request = &mut server.requests[slot as usize];
        request.gives_up = None;
        server.levels.give_up(slot, request.flow.level(), now);
        self.refuse(slot);
    }

    pub(super) fn seats_lent(&mut self) {
        self.change_levels(|server, now, seated| server.levels.lend(now, seated));
        self.at(self.now + LENT_EVERY, Event::SeatsLent);
    }

    /// The node may run an agent, if there are any.
    pub(super) fn start_agent(&mut self, node: u32) {
        let (Some(server), Some(every)) = (&mut self.api_server, list_period(self.scenario)) else { return };
        if server.listed.len() <= node as usize {
            server.listed.resize(node as usize + 1, None);
        }
        if server.listed[node as usize].is_some() {
            return;
        }
        server.listed[node as usize] = Some(self.now);
        let phase = self.chance.uniform(Component::Agent, node, 0);
        self.at(self.now + every.mul_f64(phase), Event::AgentLists(node));
    }

    pub(super) fn agent_lists(&mut self, node: u32) {
        let spec = self.scenario.api_server.as_ref();
        if let Some(spec) = spec.filter(|_| self.nodes[node as usize].lives()) {
            let now = self.now;
            self.server().listed[node as usize] = Some(now);
            self.send_request(
                spec.agents,
                RequestKind::List,
                now,
                SimDuration::ZERO,
                Event::AgentListed(node),
            );
        }
    }

    /// Its next list begins with the next tick of its period: were it at once, an agent would take the very place in
    /// the queue that its last list left, and whoever was refused would never find one.
    pub(super) fn agent_listed(&mut self, node: u32) {
        let began = self.server().listed[node as usize].expect("it has an agent");
        let every = list_period(self.scenario).expect("there are agents");
        let passed = self.now.since(began).nanos() / every.nanos();
        self.at(began + every * (passed + 1), Event::AgentLists(node));
    }
}

/// Time between two lists of an agent; `None`: there are no agents.
fn list_period(scenario: &Scenario) -> Option<SimDuration> {
    let rate = scenario.api_server.as_ref()?.lists_per_node_s;
    (rate > 0.0).then(|| SimDuration::from_secs_f64(1.0 / rate))
}
