//! How often the intervals hold the truth: 2,000 synthetic experiments each, with a truth that is known. Nowhere below
//! what is said by more than three standard errors; equal to the exact coverage where there is one.
//!
//! `cargo test --test coverage -- --nocapture` prints the shares.

use kilopod::chance::{Chance, Component, Distribution, normal_quantile};
use kilopod::statistics::beta::binomial_at_most;
use kilopod::statistics::{
    Bound, MeanInterval, PairedSummary, QuantileInterval, Ranks, TFactors, clopper_pearson, ratio_of_means,
    wilson,
};

const STUDIES: u32 = 2_000;
const SAID: f64 = 0.95;

/// The share of studies whose interval holds the truth; each has chance of its own.
fn coverage(name: &str, holds: impl FnMut(Chance) -> bool) -> f64 {
    let covered =
        (0..STUDIES).map(|study| Chance::new(2_026, study)).map(holds).filter(|holds| *holds).count();
    let share = covered as f64 / f64::from(STUDIES);
    println!("{name:<48} {share:.4}");
    share
}
/// Three standard errors of a share over all studies.
fn three_errors(share: f64) -> f64 {
    3.0 * (share * (1.0 - share) / f64::from(STUDIES)).sqrt()
}
fn not_below(name: &str, share: f64, said: f64) {
    assert!(share >= said - three_errors(said), "{name}: {share}, said {said}");
}
fn equal(name: &str, share: f64, exact: f64) {
    assert!((share - exact).abs() <= three_errors(exact), "{name}: {share}, exactly {exact}");
}
fn inside(interval: &MeanInterval, truth: f64) -> bool {
    interval.low().unwrap() <= truth && truth <= interval.high().unwrap()
}
fn uniform(chance: &Chance, i: u32, draw: u32) -> f64 {
    chance.uniform(Component::Start, i, draw)
}

/// P(l <= B < u) for the ranks l, u of the interval and B of B(n, p): exact for any continuous distribution.
fn exact_of_quantile(n: usize, p: f64) -> f64 {
    let ranks = Ranks::of(n, p, SAID);
    let below = |rank: usize| binomial_at_most(rank as u64 - 1, n as u64, p);
    ranks.high.map_or(1.0, below) - ranks.low.map_or(0.0, below)
}

#[test]
fn quantiles_cover_exactly_as_often_as_the_binomial_says() {
    let law = Distribution::LogNormal { median: 60.0, p95: 120.0 };
    for (n, p) in
        [(10, 0.5), (100, 0.5), (400, 0.5), (36, 0.9), (100, 0.9), (72, 0.95), (100, 0.95), (400, 0.95)]
    {
        let name = format!("quantile {p}, n = {n}");
        // Nanoseconds: ties are as good as impossible.
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        let truth = nanos(law.quantile(p));
        let share = coverage(&name, |chance| {
            let values: Vec<Option<u64>> =
                (0..n).map(|i| Some(nanos(law.quantile(uniform(&chance, i, 0))))).collect();
            let found = QuantileInterval::of(&values, p, SAID);
            found.low <= Bound::Value(truth) && Bound::Value(truth) <= found.high
        });
        let exact = exact_of_quantile(n as usize, p);
        equal(&name, share, exact);
        not_below(&name, share, SAID);
        assert!(exact >= SAID, "{name}: {exact}");
    }
}

/// A truth of whole seconds has ties, which only widen the interval; runs that never get there are infinite.
#[test]
fn quantiles_of_ties_and_unreached_runs_cover_at_least_as_often() {
    let name = "quantile 0.5, n = 100, ties and 30 % unreached";
    // Uniform on 1 to 10, and infinite above 0.7: the median is 8.
    let share = coverage(name, |chance| {
        let value = |u: f64| (u < 0.7).then(|| 1 + (u / 0.07) as u64);
        let values: Vec<Option<u64>> = (0..100).map(|i| value(uniform(&chance, i, 0))).collect();
        let found = QuantileInterval::of(&values, 0.5, SAID);
        found.low <= Bound::Value(8) && Bound::Value(8) <= found.high
    });
    not_below(name, share, SAID);
}

/// The sum over outcomes whose interval holds the truth.
fn exact_of_share(n: u64, p: f64, holds: impl Fn(u64) -> bool) -> f64 {
    let at_most = |k: u64| binomial_at_most(k, n, p);
    let mass = |k: u64| at_most(k) - if k == 0 { 0.0 } else { at_most(k - 1) };
    (0..=n).filter(|k| holds(*k)).map(mass).sum()
}

#[test]
fn shares_cover_exactly_as_often_as_the_sum_over_outcomes() {
    for (n, p) in [(20, 0.5), (100, 0.02), (100, 0.3), (100, 0.95), (400, 0.1)] {
        let hits = |chance: &Chance| (0..n).filter(|i| uniform(chance, *i, 0) < p).count() as u64;
        let total = u64::from(n);
        let pearson = |k| {
            let found = clopper_pearson(k, total, SAID);
            found.low <= p && p <= found.high
        };
        let name = format!("Clopper-Pearson, p = {p}, n = {n}");
        let share = coverage(&name, |chance| pearson(hits(&chance)));
        equal(&name, share, exact_of_share(total, p, pearson));
        not_below(&name, share, SAID);
        // Wilson's is right on average over p, and may be a few points off at one.
        let by_score = |k| {
            let found = wilson(k, total, SAID);
            found.low <= p && p <= found.high
        };
        let name = format!("Wilson, p = {p}, n = {n}");
        let share = coverage(&name, |chance| by_score(hits(&chance)));
        equal(&name, share, exact_of_share(total, p, by_score));
    }
}

#[test]
fn means_of_normal_values_cover_exactly_as_often_as_they_say() {
    let mut factors = TFactors::new(SAID);
    for n in [2, 5, 30, 100] {
        let name = format!("mean, normal, n = {n}");
        let share = coverage(&name, |chance| {
            let values: Vec<f64> =
                (0..n).map(|i| 7.0 + 3.0 * normal_quantile(uniform(&chance, i, 0))).collect();
            inside(&MeanInterval::of(&values, &mut factors).unwrap(), 7.0)
        });
        equal(&name, share, SAID);
    }
}

/// What the tables' means are of: times cut at a horizon, and skewed costs. Student's interval supposes normal means;
/// by 100 replications, the default, they are near enough.
#[test]
fn means_of_cut_and_skewed_values_cover_as_often_as_they_say_from_100_on() {
    let mut factors = TFactors::new(SAID);
    let cut = Distribution::Uniform { low: 0.0, high: 2.0 };
    let skewed = Distribution::Exponential { mean: 5.0 };
    let mut check = |law: &str, truth: f64, draw: &dyn Fn(f64) -> f64| {
        let name = format!("mean, {law}, n = 100");
        let share = coverage(&name, |chance| {
            let values: Vec<f64> = (0..100).map(|i| draw(uniform(&chance, i, 0))).collect();
            inside(&MeanInterval::of(&values, &mut factors).unwrap(), truth)
        });
        not_below(&name, share, SAID);
    };
    // The mean of min(U, 1.5) for U uniform on 0..2 is 1.5 - 1.5^2 / 4.
    check("cut at a horizon", 0.9375, &|u| cut.quantile(u).min(1.5));
    check("exponential", 5.0, &|u| skewed.quantile(u));
}

#[test]
fn paired_differences_cover_exactly_as_often_as_they_say_whatever_the_correlation() {
    let mut factors = TFactors::new(SAID);
    for (n, common) in [(10, 0.0), (10, 0.9), (100, 0.9), (100, -0.9)] {
        let name = format!("paired difference, correlation {common}, n = {n}");
        let own = f64::sqrt(1.0 - common * common);
        let share = coverage(&name, |chance| {
            let normal = |i, draw| normal_quantile(uniform(&chance, i, draw));
            let pair = |i| {
                let base = normal(i, 0);
                (4.0 + common * base + own * normal(i, 1), 1.0 + base)
            };
            let (candidate, base): (Vec<f64>, Vec<f64>) = (0..n).map(pair).unzip();
            inside(&PairedSummary::of(&candidate, &base, &mut factors).unwrap().difference, 3.0)
        });
        equal(&name, share, SAID);
    }
}

#[test]
fn ratios_of_paired_means_cover_as_often_as_they_say() {
    let mut factors = TFactors::new(SAID);
    for n in [10, 100] {
        let name = format!("ratio of paired means (Fieller), n = {n}");
        let share = coverage(&name, |chance| {
            let normal = |i, draw| normal_quantile(uniform(&chance, i, draw));
            let pair = |i| {
                let base = 10.0 + 2.0 * normal(i, 0);
                (5.0 + base + 3.0 * normal(i, 1), base)
            };
            let (candidate, base): (Vec<f64>, Vec<f64>) = (0..n).map(pair).unzip();
            let found = ratio_of_means(&candidate, &base, &mut factors).unwrap();
            found.low <= 1.5 && 1.5 <= found.high
        });
        // Exact: normal values, and a base that is never near zero.
        equal(&name, share, SAID);
    }
}

/// All cells against the first at once: Bonferroni's bound holds for the whole family of rows.
#[test]
fn intervals_for_all_cells_at_once_hold_together() {
    let cells = 8;
    let mut factors = TFactors::new(1.0 - (1.0 - SAID) / f64::from(cells));
    let name = "8 paired differences at once, n = 30";
    let share = coverage(name, |chance| {
        let normal = |i, draw| normal_quantile(uniform(&chance, i, draw));
        let base: Vec<f64> = (0..30).map(|i| normal(i, 0)).collect();
        (1..=cells).all(|cell| {
            let other: Vec<f64> = (0..30).map(|i| normal(i, 0) + normal(i, cell)).collect();
            inside(&PairedSummary::of(&other, &base, &mut factors).unwrap().difference, 0.0)
        })
    });
    not_below(name, share, SAID);
}
