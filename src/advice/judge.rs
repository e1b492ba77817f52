//! Runs base and candidate under the same chance and judges each claim.

use rayon::prelude::*;

use super::read::{Advice, Claim, Form, Statistic};
use crate::components::{Prepared, simulate};
use crate::results::{Kind, Measure, ReplicationRecord};
use crate::statistics::{
    MeanInterval, PairedSummary, QuantileInterval, TFactors, Verdict, clopper_pearson, ratio_of_means,
    verdict,
};

/// A claim with what the runs say of it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub verdict: Verdict,
    /// In the metric's unit; `None`: the runs give none (beyond the horizon, too few).
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Tries all claims of a file.
pub fn judge(advice: &Advice) -> Vec<Judged> {
    let run = |prepared: &Prepared| -> Vec<ReplicationRecord> {
        let one = |replication| simulate(prepared, advice.seed, replication);
        (0..advice.replications).into_par_iter().map(one).collect()
    };
    let candidate = run(&Prepared::new(advice.candidate.clone()));
    let needs_base = advice.claims.iter().any(|claim| claim.form != Form::Candidate);
    let base = if needs_base { run(&Prepared::new(advice.base.clone())) } else { Vec::new() };
    advice.claims.iter().map(|claim| judge_claim(claim, &candidate, &base)).collect()
}

fn judge_claim(claim: &Claim, candidate: &[ReplicationRecord], base: &[ReplicationRecord]) -> Judged {
    let confidence = verdict::two_sided(claim.confidence);
    let mut factors = TFactors::new(confidence);
    let three = match (claim.form, claim.statistic) {
        (Form::Candidate, Statistic::Quantile(p)) => quantile(&claim.measure, candidate, p, confidence),
        (Form::Candidate, Statistic::Share) => share(&claim.measure, candidate, confidence),
        (Form::Candidate, Statistic::Mean) => mean(&claim.measure, candidate, &mut factors),
        (form, statistic) => {
            let (of_candidate, of_base) = pairs(&claim.measure, statistic, candidate, base);
            compare(form, &of_candidate, &of_base, &mut factors)
        }
    };
    let [estimate, low, high] = three;
    Judged { verdict: claim.limits.judge(low, high), estimate, low, high }
}

fn quantile(measure: &Measure, records: &[ReplicationRecord], p: f64, confidence: f64) -> [Option<f64>; 3] {
    let raw: Vec<Option<u64>> = records.iter().map(|record| measure.raw(record)).collect();
    let found = QuantileInterval::of(&raw, p, confidence);
    let value = |raw: u64| raw as f64 / measure.scale();
    // An end beyond the horizon is later than any limit.
    let beyond = |bound: crate::statistics::Bound<u64>| match bound {
        crate::statistics::Bound::Beyond => Some(f64::INFINITY),
        other => other.value().map(value),
    };
    [found.estimate.value().map(value), beyond(found.low), beyond(found.high)]
}

fn share(measure: &Measure, records: &[ReplicationRecord], confidence: f64) -> [Option<f64>; 3] {
    let hits = records.iter().filter(|record| measure.raw(record).is_some()).count() as u64;
    let found = clopper_pearson(hits, records.len() as u64, confidence);
    [Some(found.estimate), Some(found.low), Some(found.high)]
}

fn mean(measure: &Measure, records: &[ReplicationRecord], factors: &mut TFactors) -> [Option<f64>; 3] {
    let values: Vec<f64> = records.iter().filter_map(|record| measure.value(record)).collect();
    // A mean over the runs that have a value would hide those that have none.
    if values.len() < records.len() {
        return [None; 3];
    }
    let found = MeanInterval::of(&values, factors);
    [found.map(|m| m.mean), found.and_then(|m| m.low()), found.and_then(|m| m.high())]
}

/// Values of both sides, replication by replication; a pair of which one lacks its value is none.
fn pairs(
    measure: &Measure,
    statistic: Statistic,
    candidate: &[ReplicationRecord],
    base: &[ReplicationRecord],
) -> (Vec<f64>, Vec<f64>) {
    let value = |record: &ReplicationRecord| match statistic {
        Statistic::Share => Some(f64::from(u8::from(measure.raw(record).is_some()))),
        _ => measure.value(record),
    };
    debug_assert!(measure.kind != Kind::Instant || statistic == Statistic::Share);
    candidate.iter().zip(base).filter_map(|(c, b)| value(c).zip(value(b))).unzip()
}

fn compare(form: Form, candidate: &[f64], base: &[f64], factors: &mut TFactors) -> [Option<f64>; 3] {
    if form == Form::Ratio {
        let found = ratio_of_means(candidate, base, factors);
        return [found.map(|r| r.estimate), found.map(|r| r.low), found.map(|r| r.high)];
    }
    let found = PairedSummary::of(candidate, base, factors).map(|paired| paired.difference);
    [found.map(|m| m.mean), found.and_then(|m| m.low()), found.and_then(|m| m.high())]
}
