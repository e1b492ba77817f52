//! Judges claims on base and candidate under the same chance: on runs of its own, or on those of a finished sweep.
//!
//! With looks, claims are tried after 128, 256, ... replications until all are decided. Each look spends an equal part of a claim's
//! probability of error, so that over all of them it is no more than the claim says (Bonferroni); a claim once decided stays so.

use rayon::prelude::*;

use super::read::{Advice, Claim, Form, Statistic};
use crate::components::{Prepared, simulate};
use crate::results::{Kind, Measure};
use crate::statistics::{
    Bound, MeanInterval, PairedSummary, QuantileInterval, TFactors, Verdict, clopper_pearson, looks,
    ratio_of_means, verdict,
};

/// A claim with what the runs say of it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub verdict: Verdict,
    /// In the metric's unit; `None`: the runs give none (beyond the horizon, too few).
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Replications of either side that it was judged by.
    pub replications: u32,
    /// Of these, without a value on a side whose mean is asked for, which hence has none.
    pub without_value: u32,
}

/// Of one claim's measure, the raw values of both sides, replication by replication; `None` where a run has none.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    pub candidate: Vec<Option<u64>>,
    /// Empty where no claim asks for it.
    pub base: Vec<Option<u64>>,
}

impl Sides {
    /// Replications that lack a value of which the claim wants the mean.
    fn without_value(&self, claim: &Claim) -> u32 {
        let (candidate, base) = (&self.candidate, &self.base);
        let lacks = |place: &usize| match claim.form {
            Form::Candidate => candidate[*place].is_none(),
            Form::Difference | Form::Ratio => candidate[*place].is_none() || base[*place].is_none(),
        };
        match claim.statistic {
            Statistic::Mean => (0..candidate.len()).filter(lacks).count() as u32,
            Statistic::Quantile(_) | Statistic::Share => 0,
        }
    }
}

/// Tries all claims of a file.
pub fn judge(advice: &Advice) -> Vec<Judged> {
    let candidate = Prepared::new(advice.candidate.clone());
    let needs_base = advice.claims.iter().any(|claim| claim.form != Form::Candidate);
    let base = needs_base.then(|| Prepared::new(advice.base.clone()));
    let mut sides = vec![Sides::default(); advice.claims.len()];
    let mut extend = |from: u32, to: u32| {
        let values = |prepared: &Prepared| -> Vec<Vec<Option<u64>>> {
            let one = |replication| {
                let record = simulate(prepared, advice.seed, replication);
                advice.claims.iter().map(|claim| claim.measure.raw(&record)).collect()
            };
            (from..to).into_par_iter().map(one).collect()
        };
        let (more, of_base) = (values(&candidate), base.as_ref().map(values).unwrap_or_default());
        for (place, sides) in sides.iter_mut().enumerate() {
            sides.candidate.extend(more.iter().map(|values| values[place]));
            sides.base.extend(of_base.iter().map(|values| values[place]));
        }
        sides.clone()
    };
    let at: Vec<u32> = match advice.looks_up_to {
        Some(most) => looks(most).collect(),
        None => vec![advice.replications],
    };
    judge_at(&advice.claims, &at, &mut extend)
}

/// Judges what a finished sweep has, as one look at all of it.
pub fn judge_stored(advice: &Advice, sides: &[Sides]) -> Vec<Judged> {
    advice.claims.iter().zip(sides).map(|(claim, sides)| judge_claim(claim, sides, 1)).collect()
}

/// `extend` goes on from so many replications to so many and gives both sides by claim.
fn judge_at(claims: &[Claim], looks: &[u32], extend: &mut dyn FnMut(u32, u32) -> Vec<Sides>) -> Vec<Judged> {
    let mut judged: Vec<Option<Judged>> = vec![None; claims.len()];
    let mut before = 0;
    for look in looks {
        let sides = extend(before, *look);
        before = *look;
        for ((claim, sides), judged) in claims.iter().zip(&sides).zip(&mut judged) {
            if judged.as_ref().is_none_or(|judged| judged.verdict == Verdict::Undecided) {
                *judged = Some(judge_claim(claim, sides, looks.len()));
            }
        }
        if judged.iter().flatten().all(|judged| judged.verdict != Verdict::Undecided) {
            break;
        }
    }
    judged.into_iter().map(|judged| judged.expect("there is a look")).collect()
}

/// At one of so many looks.
fn judge_claim(claim: &Claim, sides: &Sides, looks: usize) -> Judged {
    let one_sided = 1.0 - (1.0 - claim.confidence) / looks as f64;
    let confidence = verdict::two_sided(one_sided);
    let (measure, candidate) = (&claim.measure, &sides.candidate[..]);
    let mut factors = TFactors::new(confidence);
    let without_value = sides.without_value(claim);
    let [estimate, low, high] = match (claim.form, claim.statistic) {
        // A mean over the runs that have a value would hide those that have none.
        _ if without_value > 0 => [None; 3],
        (Form::Candidate, Statistic::Quantile(p)) => quantile(measure, candidate, p, confidence),
        (Form::Candidate, Statistic::Share) => share(candidate, confidence),
        (Form::Candidate, Statistic::Mean) => mean(measure, candidate, &mut factors),
        (form, statistic) => {
            let (of_candidate, of_base) = pairs(measure, statistic, sides);
            compare(form, &of_candidate, &of_base, &mut factors)
        }
    };
    let replications = candidate.len() as u32;
    Judged { verdict: claim.limits.judge(low, high), estimate, low, high, replications, without_value }
}

fn quantile(measure: &Measure, raw: &[Option<u64>], p: f64, confidence: f64) -> [Option<f64>; 3] {
    let found = QuantileInterval::of(raw, p, confidence);
    let value = |raw: u64| raw as f64 / measure.scale();
    // An end beyond the horizon is later than any limit.
    let beyond = |bound: Bound<u64>| match bound {
        Bound::Beyond => Some(f64::INFINITY),
        other => other.value().map(value),
    };
    [beyond(found.estimate), beyond(found.low), beyond(found.high)]
}

fn share(raw: &[Option<u64>], confidence: f64) -> [Option<f64>; 3] {
    let hits = raw.iter().flatten().count() as u64;
    let found = clopper_pearson(hits, raw.len() as u64, confidence);
    [Some(found.estimate), Some(found.low), Some(found.high)]
}

fn mean(measure: &Measure, raw: &[Option<u64>], factors: &mut TFactors) -> [Option<f64>; 3] {
    let values: Vec<f64> = raw.iter().flatten().map(|raw| *raw as f64 / measure.scale()).collect();
    let found = MeanInterval::of(&values, factors);
    [found.map(|m| m.mean), found.and_then(|m| m.low_of_magnitudes()), found.and_then(|m| m.high())]
}

/// Values of both sides, replication by replication.
fn pairs(measure: &Measure, statistic: Statistic, sides: &Sides) -> (Vec<f64>, Vec<f64>) {
    let value = |raw: &Option<u64>| match statistic {
        Statistic::Share => Some(f64::from(u8::from(raw.is_some()))),
        _ => raw.map(|raw| raw as f64 / measure.scale()),
    };
    debug_assert!(measure.kind != Kind::Instant || statistic == Statistic::Share);
    sides.candidate.iter().zip(&sides.base).filter_map(|(c, b)| value(c).zip(value(b))).unzip()
}

fn compare(form: Form, candidate: &[f64], base: &[f64], factors: &mut TFactors) -> [Option<f64>; 3] {
    if form == Form::Ratio {
        let found = ratio_of_means(candidate, base, factors);
        return [found.map(|r| r.estimate), found.map(|r| r.low), found.map(|r| r.high)];
    }
    let found = PairedSummary::of(candidate, base, factors).map(|paired| paired.difference);
    [found.map(|m| m.mean), found.and_then(|m| m.low()), found.and_then(|m| m.high())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, normal_quantile};
    use crate::results::measures;
    use crate::statistics::Limits;

    /// "On average at most so much more than the base", of paired differences with mean 0 and standard deviation 100.
    fn claim(at_most: f64) -> Claim {
        Claim {
            says: String::new(),
            measure: measures().into_iter().find(|measure| measure.name == "time_restricted").unwrap(),
            statistic: Statistic::Mean,
            form: Form::Difference,
            limits: Limits { at_least: None, at_most: Some(at_most) },
            confidence: 0.95,
        }
    }

    /// Verdicts over 2,000 studies, and replications used in all.
    fn studies(at_most: f64, most: u32) -> ([u32; 3], u64) {
        let claims = [claim(at_most)];
        let at: Vec<u32> = looks(most).collect();
        let (mut verdicts, mut used) = ([0; 3], 0);
        for study in 0..2_000 {
            let chance = Chance::new(23, study);
            let mut sides = Sides::default();
            let mut extend = |from: u32, to: u32| {
                for replication in from..to {
                    let noise = 100.0 * normal_quantile(chance.uniform(Component::Boot, replication, 0));
                    sides.candidate.push(Some((10_000.0 + noise) as u64));
                    sides.base.push(Some(10_000));
                }
                vec![sides.clone()]
            };
            let judged = judge_at(&claims, &at, &mut extend).remove(0);
            verdicts[judged.verdict as usize] += 1;
            used += u64::from(judged.replications);
        }
        (verdicts, used)
    }

    /// A difference that is just the limit is called either way with the probability of error that the claim allows, looks and
    /// all; three standard errors of 2,000 studies are 1.5 %. Values are cut to whole numbers, which is half a unit.
    #[test]
    fn looks_do_not_raise_the_probability_of_error() {
        let ([holds, broken, undecided], _) = studies(-0.5, 1_024);
        assert!(holds <= 130 && broken <= 130, "{holds} hold and {broken} broken of 2000");
        assert!(undecided > 1_700, "{undecided}");
    }

    /// Where the limit lies four standard errors of the first look away, looks need little more than that one.
    #[test]
    fn what_is_clear_is_decided_early_and_rightly() {
        let away = 4.0 * 100.0 / libm::sqrt(128.0);
        let ([holds, broken, _], used) = studies(away, 1_024);
        assert!(holds >= 1_994 && broken == 0, "{holds} hold");
        assert!(used < 2_000 * 160, "{} on average", used / 2_000);
        let ([holds, broken, _], _) = studies(-away, 1_024);
        assert!(broken >= 1_994 && holds == 0, "{broken} broken");
    }
}
