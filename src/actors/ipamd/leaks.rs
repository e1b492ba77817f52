//! The cleaner of leaked ENIs: each process of ipamd looks every hour for ENIs that some node's ipamd made and that hang
//! on no instance, and deletes them.
//!
//! Source: amazon-vpc-cni-k8s v1.23.1, `pkg/awsutils/awsutils.go`: `cleanUpLeakedENIs`, `getLeakedENIs`, `deleteENI`.

use super::machine::{TRIES, delete_wait};
use crate::units::{SimDuration, SimTime};

/// A look ends, and so long later the next one's delay begins.
const PERIOD: SimDuration = SimDuration::from_secs(3_600);
/// Each look is delayed by whole seconds, fewer than these.
const MOST_DELAY_S: f64 = 300.0;
/// An ENI that was made less than so long ago is left alone: its node may still be about to attach it.
pub const COOL_DOWN: SimDuration = SimDuration::from_secs(300);
/// ENIs on one page of DescribeNetworkInterfaces.
const PAGE: usize = 1_000;

/// What EC2 tells of an ENI on no instance that is tagged as some node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unattached<'a> {
    pub description: &'a str,
    /// The tag `cluster.k8s.amazonaws.com/name`.
    pub cluster: Option<&'a str>,
    /// The tag `node.k8s.amazonaws.com/createdAt`.
    pub created: Option<SimTime>,
}

/// What the cleaner makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Leaked,
    /// Another cluster's, not the CNI's, or too young.
    LeftAlone,
    /// It is tagged with this instant, and may be leaked at a later look.
    Tagged,
}

/// `cluster` is CLUSTER_NAME, without which ENIs of all clusters are looked at.
pub fn judge(eni: Unattached<'_>, cluster: Option<&str>, now: SimTime) -> Verdict {
    let ours = cluster.is_none() || eni.cluster == cluster;
    if !ours || !eni.description.starts_with("aws-K8S-") {
        return Verdict::LeftAlone;
    }
    match eni.created {
        None => Verdict::Tagged,
        Some(created) if now.since(created) < COOL_DOWN => Verdict::LeftAlone,
        Some(_) => Verdict::Leaked,
    }
}

/// How long a look waits after its hour, or after the process's start: a `uniform` share of five minutes, in whole seconds.
pub fn delay(uniform: f64) -> SimDuration {
    SimDuration::from_secs((uniform * MOST_DELAY_S) as u64)
}
/// From a look's end to the next look.
pub fn pause(uniform: f64) -> SimDuration {
    PERIOD + delay(uniform)
}
/// Calls of DescribeNetworkInterfaces for so many ENIs on no instance.
pub fn pages(unattached: usize) -> u32 {
    unattached.div_ceil(PAGE).max(1) as u32
}

/// What the cleaner does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// DeleteNetworkInterface of the leak at this place.
    Delete(usize),
    /// The same after this pause.
    DeleteAfter(SimDuration),
    Done,
}

/// The deletions of one look, one leak after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deletions {
    leaks: usize,
    at: usize,
    tries: u8,
}

impl Deletions {
    pub fn new(leaks: usize) -> Deletions {
        Deletions { leaks, at: 0, tries: 1 }
    }
    /// The deletion to go on with.
    pub fn next(&self) -> Step {
        if self.at < self.leaks { Step::Delete(self.at) } else { Step::Done }
    }
    /// The last one worked, or found nothing to delete any more.
    pub fn deleted(&mut self) -> Step {
        (self.at, self.tries) = (self.at + 1, 1);
        self.next()
    }
    /// It was refused. After the last try the leak is left to a later look.
    pub fn refused(&mut self, jitter: &mut dyn FnMut() -> f64) -> Step {
        if self.tries >= TRIES {
            return self.deleted();
        }
        self.tries += 1;
        Step::DeleteAfter(delete_wait(self.tries - 1, jitter))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The rows of `tests/tables/ipamd-leaks.csv`.
    #[test]
    fn enis_are_leaked_as_its_tests_say() {
        let mut table = csv::Reader::from_path("tests/tables/ipamd-leaks.csv").unwrap();
        let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
        let now = SimTime::from_secs(3_600);
        let mut failed = Vec::new();
        for row in &rows {
            let text = |column: &str| Some(row[column].as_str()).filter(|text| !text.is_empty());
            let age = text("age_s").map(|age| SimDuration::from_secs(age.parse().unwrap()));
            let created = age.map(|age| SimTime::from_nanos(now.nanos() - age.nanos()));
            let eni = Unattached { description: &row["description"], cluster: text("tag"), created };
            let verdict = match judge(eni, text("cluster"), now) {
                Verdict::Leaked => "leaked",
                Verdict::LeftAlone => "left alone",
                Verdict::Tagged => "tagged",
            };
            if verdict != row["verdict"] {
                failed.push(format!("{}: {verdict}, stated {}", row["id"], row["verdict"]));
            }
        }
        assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
        assert_eq!(rows.len(), 9);
    }

    #[test]
    fn a_look_waits_for_whole_seconds_below_five_minutes() {
        let seconds = [0.0, 0.5, 0.999_999].map(|uniform| delay(uniform).millis());
        assert_eq!(seconds, [0, 150_000, 299_000]);
        assert_eq!(pause(0.5), SimDuration::from_secs(3_750));
        assert_eq!([0, 1, 1_000, 1_001].map(pages), [1, 1, 1, 2]);
    }

    #[test]
    fn a_leak_is_given_up_after_twelve_tries_and_the_next_one_begun() {
        let mut deletions = Deletions::new(2);
        assert_eq!(deletions.next(), Step::Delete(0));
        let mut waited = SimDuration::ZERO;
        for _ in 0..11 {
            let Step::DeleteAfter(wait) = deletions.refused(&mut || 0.0) else { panic!("too few tries") };
            waited += wait;
            assert_eq!(deletions.next(), Step::Delete(0));
        }
        assert_eq!(waited, SimDuration::from_millis(303_500));
        assert_eq!(deletions.refused(&mut || 0.0), Step::Delete(1));
        assert_eq!(deletions.deleted(), Step::Done);
    }
}
