//! The one registry of what is measured: name, unit, meaning, and how a replication's record gives it. Headers, the
//! data dictionary, the documentation and advice files all come from here.

use std::fmt::Write;

use super::record::ReplicationRecord;
use crate::actors::karpenter::disruption::Reason;
use crate::world::cause::{AddressLack, Cause};

/// What a number is, and hence how it is printed and summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An instant that a run may never come to: quantiles, an empty cell counting as later than all.
    Instant,
    /// A count: mean and quantile.
    Count,
    /// US dollars: six decimals.
    Usd,
    /// Four decimals.
    Hours,
}

/// One thing measured in each replication.
#[derive(Clone, Debug)]
pub struct Measure {
    /// `time_to_target`
    pub name: String,
    /// `ms`; empty for bare counts whose name says it all.
    pub unit: &'static str,
    pub kind: Kind,
    pub meaning: String,
    get: Get,
}

#[derive(Clone, Copy, Debug)]
enum Get {
    Field(fn(&ReplicationRecord) -> Option<u64>),
    Cause(Cause),
}

impl Measure {
    /// The value in thousandths of a cent for [`Kind::Usd`], in milliseconds for [`Kind::Hours`], else in its
    /// unit; `None` where the run has none.
    pub fn raw(&self, record: &ReplicationRecord) -> Option<u64> {
        match self.get {
            Get::Field(get) => get(record),
            Get::Cause(cause) => Some(record.cause_pod_ms[cause as usize]),
        }
    }
    /// The value in its unit.
    pub fn value(&self, record: &ReplicationRecord) -> Option<f64> {
        self.raw(record).map(|raw| raw as f64 / self.scale())
    }
    /// Raw numbers to one of its unit.
    pub fn scale(&self) -> f64 {
        match self.kind {
            Kind::Usd => 1e6,
            Kind::Hours => 3_600_000.0,
            Kind::Instant | Kind::Count => 1.0,
        }
    }
    /// Its column in `replications.csv`: `time_to_target_ms`.
    pub fn column(&self) -> String {
        self.with("")
    }
    /// Its column with a statistic: `time_to_target_p50_lo_ms`.
    pub fn with(&self, statistic: &str) -> String {
        let parts = [self.name.as_str(), statistic, self.unit];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
    }
    /// As it stands in a table: integers where it can be.
    pub fn print(&self, raw: u64) -> String {
        let mut text = String::new();
        self.print_to(raw, &mut text);
        text
    }
    /// The same at the end of a text.
    pub fn print_to(&self, raw: u64, text: &mut String) {
        let written = match self.kind {
            Kind::Instant | Kind::Count => write!(text, "{raw}"),
            Kind::Usd => write!(text, "{}.{:06}", raw / 1_000_000, raw % 1_000_000),
            Kind::Hours => write!(text, "{:.4}", raw as f64 / 3_600_000.0),
        };
        written.expect("a text takes all");
    }
    /// A mean of raw numbers, as it stands in a table.
    pub fn print_mean(&self, mean: f64) -> String {
        match self.kind {
            Kind::Instant => format!("{mean:.0}"),
            Kind::Count => format!("{mean:.2}"),
            Kind::Usd => format!("{:.6}", mean / 1e6),
            Kind::Hours => format!("{:.4}", mean / 3_600_000.0),
        }
    }
}

type OfClaims = (&'static str, &'static str, &'static str, fn(&ReplicationRecord) -> Option<u64>);

/// Karpenter's claims and nodes; names in brackets are those of Karpenter's own metrics.
const CLAIMS: [OfClaims; 7] = [
    (
        "claim_launch",
        "ms",
        "Mean time of a NodeClaim from its creation until Launched (operator_status_condition_transition_seconds).",
        |r| r.claims.launch_ms,
    ),
    (
        "claim_registration",
        "ms",
        "From there until Registered (the same metric), the mean over claims.",
        |r| r.claims.registration_ms,
    ),
    (
        "claim_usable",
        "ms",
        "From there until pods may come to the node, the mean over claims; Karpenter notes Initialized a second later.",
        |r| r.claims.usable_ms,
    ),
    (
        "packing_cpu",
        "ppm",
        "CPU that pods request of the nodes at the end, as a share of what is allocatable (karpenter_nodes_total_pod_requests of karpenter_nodes_allocatable).",
        |r| share_of(r.claims.requested_cpu_m, r.claims.allocatable_cpu_m),
    ),
    ("packing_memory", "ppm", "The same of memory.", |r| {
        share_of(r.claims.requested_memory_mib, r.claims.allocatable_memory_mib)
    }),
    (
        "stranded_cpu",
        "millicores",
        "CPU free at the end on nodes on which no pod of any Deployment fits any more.",
        |r| Some(r.claims.stranded_cpu_m),
    ),
    ("stranded_memory", "mib", "Memory free on them.", |r| Some(r.claims.stranded_memory_mib)),
];

type Removal = (&'static str, &'static str, fn(&ReplicationRecord) -> Option<u64>);

/// Nodes that went, by the reason.
const REMOVALS: [Removal; 5] = [
    ("nodes_removed_empty", "Nodes that Karpenter took away as empty.", |r| removed(r, Reason::Empty)),
    ("nodes_removed_underutilized", "Nodes that it consolidated.", |r| removed(r, Reason::Underutilized)),
    ("nodes_removed_drifted", "Nodes that it replaced as drifted.", |r| removed(r, Reason::Drifted)),
    ("nodes_removed_expired", "Nodes that went as expired.", |r| removed(r, Reason::Expired)),
    ("nodes_removed_interrupted", "Nodes that went for an interruption's notice.", |r| {
        removed(r, Reason::Interrupted)
    }),
];

fn removed(record: &ReplicationRecord, reason: Reason) -> Option<u64> {
    Some(record.nodes_removed[reason as usize])
}

type Lack = (&'static str, &'static str, fn(&ReplicationRecord) -> Option<u64>);

/// Failed sandboxes, by what was lacking.
const LACKS: [Lack; AddressLack::COUNT] = [
    ("sandbox_failures_coming", "Of these, while addresses or a branch interface were on their way.", |r| {
        lacked(r, AddressLack::Coming)
    }),
    ("sandbox_failures_throttled", "Of these, while EC2 throttled the call for them.", |r| {
        lacked(r, AddressLack::Throttled)
    }),
    ("sandbox_failures_subnet_dry", "Of these, with the subnet dry.", |r| lacked(r, AddressLack::SubnetDry)),
    ("sandbox_failures_node_full", "Of these, on a node that gets no more addresses.", |r| {
        lacked(r, AddressLack::NodeFull)
    }),
    (
        "sandbox_failures_pod_eni",
        "Of these, for want of a trunk, or of room or a turn for a branch interface.",
        |r| lacked(r, AddressLack::PodEni),
    ),
];

fn lacked(record: &ReplicationRecord, lack: AddressLack) -> Option<u64> {
    Some(record.sandbox_failures_by_lack[lack as usize])
}

/// All measures, in the order of their columns.
pub fn measures() -> Vec<Measure> {
    use Kind::{Count, Hours, Instant, Usd};
    let mut all = Vec::new();
    let mut add = |name: &str, unit: &'static str, kind, meaning: &str, get| {
        let (name, meaning) = (name.to_string(), meaning.to_string());
        all.push(Measure { name, unit, kind, meaning, get: Get::Field(get) });
    };
    add(
        "time_to_target",
        "ms",
        Instant,
        "Scale command until the N-th pod is Ready; empty unless reached. Of a Deployment at most its replicas count, of a Job the pods that have succeeded.",
        |r| r.time_to_target_ms,
    );
    add(
        "time_to_target_running",
        "ms",
        Instant,
        "The same until the N-th pod is Running; of a Job those that run count too.",
        |r| r.time_to_target_running_ms,
    );
    add("time_to_50pct", "ms", Instant, "Until half of N are Ready.", |r| r.time_to_50pct_ms);
    add("time_to_90pct", "ms", Instant, "Until 90 % of N are Ready.", |r| r.time_to_90pct_ms);
    add("time_to_99pct", "ms", Instant, "Until 99 % of N are Ready.", |r| r.time_to_99pct_ms);
    add(
        "time_restricted",
        "ms",
        Count,
        "The time to target, or the horizon if it is not reached; its mean is the restricted mean.",
        |r| Some(r.observed_ms),
    );
    add("pods_ready", "", Count, "Pods Ready at the end, as N counts them.", |r| {
        Some(u64::from(r.pods_ready_at_end))
    });
    add("nodes", "", Count, "Karpenter's nodes at the end.", |r| Some(u64::from(r.nodes)));
    add("nodes_launched", "", Count, "Instances launched, those that are gone included.", |r| {
        Some(u64::from(r.nodes_launched))
    });
    add(
        "attached_at_target",
        "addresses",
        Count,
        "Addresses on all ENIs at the target; a prefix counts 16.",
        |r| r.books.attached_at_target,
    );
    add("assigned_at_target", "addresses", Count, "Of these, held by pods.", |r| r.books.assigned_at_target);
    add(
        "waste_at_target",
        "addresses",
        Count,
        "Attached, less assigned to pods, less one primary a node.",
        |r| r.books.waste_at_target,
    );
    add("waste_share_at_target", "ppm", Count, "Waste at the target as a share of attached.", |r| {
        r.books
            .waste_at_target
            .zip(r.books.attached_at_target)
            .map(|(waste, all)| waste * 1_000_000 / all.max(1))
    });
    add("waste_peak", "addresses", Count, "The most waste at any instant.", |r| Some(r.books.waste_peak));
    add("attached_peak", "addresses", Count, "The most addresses on ENIs at any instant.", |r| {
        Some(r.books.attached_peak)
    });
    add(
        "waste_average",
        "addresses",
        Count,
        "Waste averaged over the time to target, or to the horizon.",
        |r| Some(r.books.waste_address_ms / r.observed_ms.max(1)),
    );
    add("waste", "address_hours", Hours, "Waste times time, until the target or the horizon.", |r| {
        Some(r.books.waste_address_ms)
    });
    add(
        "waste_to_horizon",
        "address_hours",
        Hours,
        "Waste times time until the horizon, what was reached kept as it is.",
        |r| Some(r.books.waste_address_ms_to_horizon),
    );
    add("least_free", "addresses", Count, "The least free addresses that any subnet ever had.", |r| {
        r.subnets.iter().map(|subnet| u64::from(subnet.least_free)).min()
    });
    add(
        "cost_to_target",
        "usd",
        Usd,
        "Karpenter's nodes from their launch to the target or the horizon.",
        |r| Some(r.cost_to_target_micro_usd),
    );
    add("cost_per_hour", "usd", Usd, "What its nodes at the end cost an hour.", |r| {
        Some(r.cost_per_hour_micro_usd)
    });
    add(
        "ec2_calls",
        "",
        Count,
        "Calls of EC2 by Karpenter, ipamd and the VPC resource controller, retries included.",
        |r| Some(r.api_counts.iter().map(|count| count.calls).sum()),
    );
    add("ec2_throttles", "", Count, "Of these, refused for the account's request limits.", |r| {
        Some(r.api_counts.iter().map(|count| count.throttled).sum())
    });
    add("enis_created", "", Count, "ENIs that ipamd created.", |r| Some(r.enis_created));
    add("enis_deleted", "", Count, "ENIs that it deleted again.", |r| Some(r.enis_deleted));
    add(
        "enis_leaked",
        "",
        Count,
        "ENIs of ipamd that hang on no instance at the end, and that none has in hand.",
        |r| Some(r.enis_leaked),
    );
    add("enis_cleaned", "", Count, "Leaked ENIs that a node's ipamd found and deleted.", |r| {
        Some(r.enis_cleaned)
    });
    add(
        "branch_enis_created",
        "",
        Count,
        "Branch interfaces made for pods with security groups; empty, as the next, without ENABLE_POD_ENI.",
        |r| r.branch_enis.map(|enis| enis.created),
    );
    add("branch_enis_deleted", "", Count, "Branch interfaces deleted after their pods.", |r| {
        r.branch_enis.map(|enis| enis.deleted)
    });
    add(
        "first_subnet_dry",
        "ms",
        Instant,
        "Until a subnet first refused a request; empty if none did.",
        |r| r.subnets.iter().filter_map(|subnet| subnet.first_dry_ms).min(),
    );
    add(
        "free_prefix_blocks",
        "",
        Count,
        "Wholly free /28 blocks in all subnets at the end; empty where prefixes are not used.",
        |r| r.subnets.iter().map(|subnet| subnet.free_blocks_at_end.map(u64::from)).sum(),
    );
    add("waste_warm_at_end", "addresses", Count, "Of the waste at the end, free for pods.", |r| {
        Some(r.waste_at_end.warm)
    });
    add("waste_cooling_at_end", "addresses", Count, "Of it, released less than 30 s before.", |r| {
        Some(r.waste_at_end.cooling)
    });
    add(
        "waste_eni_primaries_at_end",
        "addresses",
        Count,
        "Of it, primaries of ENIs beyond a node's first.",
        |r| Some(r.waste_at_end.eni_primaries),
    );
    add(
        "waste_prefix_remainder_at_end",
        "addresses",
        Count,
        "Of it, free addresses of prefixes in use.",
        |r| Some(r.waste_at_end.prefix_remainder),
    );
    add("waste_leaked_at_end", "addresses", Count, "Of it, addresses of leaked ENIs.", |r| {
        Some(r.waste_at_end.leaked)
    });
    add(
        "address_wait",
        "pod_ms",
        Count,
        "Time that pods waited for an address, summed over pods: the causes that begin with address or branch_eni.",
        |r| {
            let of = |cause: &&Cause| {
                cause.name().starts_with("address") || cause.name().starts_with("branch_eni")
            };
            Some(Cause::ALL.iter().filter(of).map(|cause| r.cause_pod_ms[*cause as usize]).sum())
        },
    );
    add(
        "address_wait_p95",
        "ms",
        Count,
        "95th percentile over pods of the time from the first failed try to an address; 0 where the first try succeeds.",
        |r| r.address_wait_p95_ms,
    );
    add("sandbox_failures", "", Count, "Sandboxes that failed for want of an address.", |r| {
        Some(r.sandbox_failures)
    });
    for (name, meaning, get) in LACKS {
        add(name, "", Count, meaning, get);
    }
    add(
        "capacity_errors",
        "",
        Count,
        "Claims refused for want of capacity, quota or a subnet's address.",
        |r| Some(r.capacity_errors),
    );
    add("interruptions", "", Count, "Spot instances interrupted.", |r| Some(r.interruptions));
    add(
        "api_requests",
        "",
        Count,
        "Requests of the scale-out that came to the API server; empty where the scenario has no `[api_server]`.",
        |r| r.api_server.map(|server| server.requests),
    );
    add("api_requests_waited", "", Count, "Of these, served after a wait for a seat.", |r| {
        r.api_server.map(|server| server.waited)
    });
    add(
        "api_requests_refused",
        "",
        Count,
        "Refusals of these, for a full queue or 15 s in it; each is sent again after 1 s.",
        |r| r.api_server.map(|server| server.refused),
    );
    add("api_wait", "ms", Count, "Their time from arrival to a seat, summed up over them.", |r| {
        r.api_server.map(|server| server.wait_ns / 1_000_000)
    });
    add(
        "api_bound_share",
        "ppm",
        Count,
        "Share of the time to target, or to the horizon, in which a priority level of theirs had no seat free; of these levels the one for which that is most.",
        |r| r.api_server.map(|server| server.bound_ms * 1_000_000 / r.observed_ms.max(1)),
    );
    add("api_lists", "", Count, "Agents' lists that came to the API server.", |r| {
        r.api_server.map(|server| server.lists)
    });
    add("api_lists_waited", "", Count, "Of these, served after a wait for seats.", |r| {
        r.api_server.map(|server| server.lists_waited)
    });
    add(
        "api_lists_bound_share",
        "ppm",
        Count,
        "Share of the time in which the lists' priority level had no seat free.",
        |r| r.api_server.map(|server| server.lists_bound_ms * 1_000_000 / r.observed_ms.max(1)),
    );
    add("scheduling_rounds", "", Count, "Karpenter's rounds.", |r| Some(r.scheduling_rounds));
    add(
        "cpu_short_share",
        "ppm",
        Count,
        "Share of pod-time, from container start, with less CPU than wanted; empty, as the next three, without usage.",
        |r| r.cpu.and_then(|cpu| share_of(cpu.short_ms, cpu.pod_ms)),
    );
    add("cpu_throttled_share", "ppm", Count, "Share of it in which the pod's own limit held it back.", |r| {
        r.cpu.and_then(|cpu| share_of(cpu.throttled_ms, cpu.pod_ms))
    });
    add("cpu_missing_share", "ppm", Count, "CPU that pods wanted and did not get, as a share of it.", |r| {
        r.cpu.and_then(|cpu| share_of(cpu.missing_cpu_ms, cpu.wanted_cpu_ms))
    });
    add(
        "startup_stretch",
        "percent",
        Count,
        "Time of start-ups against what their work takes with all the CPU wanted; 100 where none is slowed down.",
        |r| r.cpu.and_then(|cpu| (cpu.starting_ms * 100).checked_div(cpu.starting_alone_ms)),
    );
    add(
        "pulls_refused",
        "",
        Count,
        "Image pulls that kubelet's registry limit refused; empty, as the next, without `[kubelet]`.",
        |r| r.kubelet.map(|kubelet| kubelet.pulls_refused),
    );
    add("startups_failed", "", Count, "Containers killed because their start-up probe did not pass.", |r| {
        r.kubelet.map(|kubelet| kubelet.startups_failed)
    });
    add(
        "memory_evictions",
        "",
        Count,
        "Pods that kubelet evicted for want of memory; empty, as the next two, without memory_usage.",
        |r| r.memory.map(|memory| memory.evictions),
    );
    add("oom_kills", "", Count, "Containers killed at their limit or for want of memory on the node.", |r| {
        r.memory.map(|memory| memory.oom_kills)
    });
    add("memory_pressures", "", Count, "Times that a node came under memory pressure.", |r| {
        r.memory.map(|memory| memory.pressures)
    });
    add("events", "", Count, "Events simulated.", |r| Some(r.events));
    add("attached_at_end", "addresses", Count, "Addresses on all ENIs at the end.", |r| {
        Some(r.books.attached_at_end)
    });
    add(
        "attached_to_horizon",
        "address_hours",
        Hours,
        "Addresses on all ENIs times time until the horizon, what was there at the end kept as it is.",
        |r| Some(r.books.attached_address_ms_to_horizon),
    );
    add(
        "cost_to_horizon",
        "usd",
        Usd,
        "Karpenter's nodes from their launch until they stop or the horizon, what was there at the end kept as it is.",
        |r| Some(r.cost_to_horizon_micro_usd),
    );
    for (name, meaning, get) in REMOVALS {
        add(name, "", Count, meaning, get);
    }
    add("pods_evicted", "", Count, "Pods that drains of nodes evicted.", |r| Some(r.pods_evicted));
    add(
        "preemptions",
        "",
        Count,
        "How often kube-scheduler made room on a node for a pod of higher priority; empty, as the next, where all pods have one priority.",
        |r| r.preemptions,
    );
    add("pods_preempted", "", Count, "Pods that it sent away for that.", |r| r.pods_preempted);
    add("pods_lost", "", Count, "Pods that an instance still had when it stopped.", |r| Some(r.pods_lost));
    add(
        "replacement_p95",
        "ms",
        Count,
        "95th percentile over pods that interruptions took of the time from the notice until the pod in its place was Ready.",
        |r| r.replacement_p95_ms,
    );
    add(
        "rebalance_recommendations",
        "",
        Count,
        "Spot instances of which EC2 said that their risk had grown.",
        |r| Some(r.rebalance_recommendations),
    );
    for (name, unit, meaning, get) in CLAIMS {
        add(name, unit, Count, meaning, get);
    }
    add(
        "nodes_reserved",
        "",
        Count,
        "Nodes launched into capacity reservations; empty, as the next, without `[[capacity_reservations]]`.",
        |r| r.reserved.map(|reserved| reserved.nodes),
    );
    add(
        "reservations_full",
        "",
        Count,
        "Refusals of launches for a capacity reservation that was full (ReservationCapacityExceeded).",
        |r| r.reserved.map(|reserved| reserved.full),
    );
    add(
        "reserved_unused_cost_to_target",
        "usd",
        Usd,
        "Places of capacity reservations that nobody uses, at the on-demand price, to the target or the horizon; empty, as the next, without `[[capacity_reservations]]`. In no other cost.",
        |r| r.reserved.map(|reserved| reserved.unused_to_target_micro_usd),
    );
    add(
        "reserved_unused_cost_to_horizon",
        "usd",
        Usd,
        "The same until the horizon, what is unused at the end kept as it is.",
        |r| r.reserved.map(|reserved| reserved.unused_to_horizon_micro_usd),
    );
    add(
        "rollout",
        "ms",
        Instant,
        "From a change of a pod template until its Deployment is complete, the longest of the run; empty unless some change and all are done.",
        |r| r.rollout_ms,
    );
    add(
        "job",
        "ms",
        Instant,
        "From a Job's creation until it is complete, the longest; empty unless all are, and, as the next two, without `[[jobs]]`.",
        |r| r.jobs.and_then(|jobs| jobs.longest_ms),
    );
    add("job_pods_succeeded", "", Count, "Pods that Jobs count as succeeded.", |r| {
        r.jobs.map(|jobs| jobs.succeeded)
    });
    add("job_pods_failed", "", Count, "Pods of Jobs that failed or were deleted.", |r| {
        r.jobs.map(|jobs| jobs.failed)
    });
    all.extend(Cause::ALL.map(|cause| Measure {
        name: format!("waited_{}", cause.name()),
        unit: "pod_ms",
        kind: Kind::Count,
        meaning: format!("Time that pods waited for {}, summed over pods.", cause.name().replace('_', " ")),
        get: Get::Cause(cause),
    }));
    all
}

/// The measure that is meant by its column in `replications.csv`, its name without the unit, or the column of its mean in `cells.csv`.
///
/// # Errors
/// How to mend a name that is none.
pub fn measure_named(name: &str) -> Result<Measure, String> {
    let all = measures();
    let columns: Vec<[String; 3]> =
        all.iter().map(|measure| [measure.column(), measure.name.clone(), measure.with("mean")]).collect();
    if let Some(place) = columns.iter().position(|columns| columns.iter().any(|column| column == name)) {
        return Ok(all[place].clone());
    }
    let names: Vec<&str> = columns.iter().flat_map(|columns| &columns[..2]).map(String::as_str).collect();
    Err(match crate::input::nearest(name, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "docs/columns.md lists the columns of replications.csv".to_string(),
    })
}

/// In millionths; `None` of nothing.
fn share_of(part: u64, all: u64) -> Option<u64> {
    (part * 1_000_000).checked_div(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unlike_and_end_in_their_unit() {
        let mut names: Vec<String> = measures().iter().map(Measure::column).collect();
        assert!(
            names
                .iter()
                .all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        );
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(measures()[0].with("p50_lo"), "time_to_target_p50_lo_ms");
    }

    #[test]
    fn money_has_six_decimals_and_hours_four() {
        let of = |name: &str| measures().into_iter().find(|measure| measure.name == name).unwrap();
        assert_eq!(of("cost_per_hour").print(96_000_001), "96.000001");
        assert_eq!(of("waste").print(5_400_000), "1.5000");
        assert_eq!(of("nodes").print(7), "7");
    }
}
