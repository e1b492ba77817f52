//! Whether a pool of EC2 capacity has some: `models/capacity.toml` as a process in time.

use super::stock::Stock;
use crate::catalogue::InstanceType;
use crate::chance::{Chance, Component, Distribution, normal_quantile};
use crate::units::text::parse_seconds;
use crate::units::{SimDuration, SimTime};

/// The draw of a pool for how far it is behind its type's process.
const LAG_DRAW: u32 = 1 << 29;
/// Draws of a pool from here on are for its depth, by episode.
const DEPTH_DRAWS: u32 = 1 << 30;
/// Draws of a type's process from here on are for whether an episode of capacity ends at its instances' expense.
const RECLAIM_DRAWS: u32 = 1 << 31;

/// A log-normal time.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Times {
    median_s: f64,
    sigma: f64,
}

impl Times {
    fn mean_s(&self) -> f64 {
        self.median_s * libm::exp(self.sigma * self.sigma / 2.0)
    }
    fn draw(&self, uniform: f64) -> f64 {
        self.median_s * libm::exp(self.sigma * normal_quantile(uniform))
    }
    /// What is left of the time that an instant falls into: of a time drawn in proportion to its length a
    /// uniform part.
    fn draw_residual(&self, length: f64, part: f64) -> f64 {
        let biased =
            Times { median_s: self.median_s * libm::exp(self.sigma * self.sigma), sigma: self.sigma };
        biased.draw(length) * part
    }
}

/// The figures of `models/capacity.toml`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CapacityModel {
    cpu: (Times, Times),
    gpu: (Times, Times),
    /// How far spot pools are behind their type's process, on average (s): without GPUs and with.
    zone_lag_s: [f64; 2],
    small_vcpus: u32,
    small_up_times: f64,
    /// Probability that a running instance is noticed when EC2 takes instances of its pool back, and the time within which.
    pub(super) reclaim_share: f64,
    pub(super) reclaim_within: SimDuration,
    /// In a calm market, of interruptions: the share that comes with others of the pool.
    reclaim_together: f64,
    hazard_monthly: Vec<f64>,
    pub(super) notice_before: SimDuration,
    on_demand_down: f64,
    large_vcpus: u32,
    large_down: f64,
    gpu_down: f64,
}

impl CapacityModel {
    /// The model built into the program.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    pub(super) fn compiled_in() -> CapacityModel {
        let table: toml::Table =
            include_str!("../../models/capacity.toml").parse().expect("models/capacity.toml is TOML");
        let at = |path: &[&str]| {
            let mut value = &table[path[0]];
            path[1..].iter().for_each(|key| value = &value[*key]);
            value.clone()
        };
        let number = |path: &[&str]| {
            let value = at(path);
            value.as_float().or(value.as_integer().map(|whole| whole as f64)).expect("a number")
        };
        let seconds = |path: &[&str]| parse_seconds(at(path).as_str().expect("a span")).expect("a span");
        let times = |class: &str, way: &str| Times {
            median_s: seconds(&["spot", class, &format!("{way}_median")]),
            sigma: number(&["spot", class, &format!("{way}_sigma")]),
        };
        let pair = |class: &str| (times(class, "up"), times(class, "down"));
        let monthly = at(&["spot", "hazard", "monthly"]);
        CapacityModel {
            cpu: pair("cpu"),
            gpu: pair("gpu"),
            zone_lag_s: ["cpu", "gpu"].map(|class| seconds(&["spot", class, "zone_lag"])),
            small_vcpus: number(&["spot", "small", "vcpus_at_most"]) as u32,
            small_up_times: number(&["spot", "small", "up_times"]),
            reclaim_share: number(&["spot", "reclaim", "share"]),
            reclaim_within: SimDuration::from_secs_f64(seconds(&["spot", "reclaim", "within"])),
            reclaim_together: number(&["spot", "reclaim", "together"]),
            hazard_monthly: monthly
                .as_array()
                .expect("a list")
                .iter()
                .map(|share| share.as_float().expect("a share"))
                .collect(),
            notice_before: SimDuration::from_secs_f64(seconds(&["spot", "notice", "before"])),
            on_demand_down: number(&["on_demand", "down_share"]),
            large_vcpus: number(&["on_demand", "large_vcpus"]) as u32,
            large_down: number(&["on_demand", "large_down_share"]),
            gpu_down: number(&["on_demand", "gpu_down_share"]),
        }
    }

    /// How far a spot pool of the type is behind.
    fn lag(&self, kind: &InstanceType, uniform: f64) -> SimDuration {
        let mean = self.zone_lag_s[usize::from(kind.gpu_count > 0)];
        SimDuration::from_secs_f64(-libm::log(uniform) * mean)
    }

    fn times(&self, kind: &InstanceType, spot: bool, tight: bool) -> (Times, Times) {
        let (mut up, down) = if kind.gpu_count > 0 { self.gpu } else { self.cpu };
        if spot {
            if !tight && kind.vcpus.is_some_and(|vcpus| vcpus <= self.small_vcpus) {
                up.median_s *= self.small_up_times;
            }
            return (up, down);
        }
        let share = match kind {
            kind if kind.gpu_count > 0 => self.gpu_down,
            kind if kind.vcpus.is_some_and(|vcpus| vcpus >= self.large_vcpus) => self.large_down,
            _ => self.on_demand_down,
        };
        let mean_up = down.mean_s() * (1.0 - share) / share;
        (Times { median_s: up.median_s * mean_up / up.mean_s(), sigma: up.sigma }, down)
    }

    /// Interruptions of an instance per second, as the spot advisor counts them for its type.
    fn advised_rate_per_s(&self, kind: &InstanceType) -> f64 {
        let Some(advice) = kind.spot else { return 0.0 };
        let monthly = self.hazard_monthly[usize::from(advice.interruption_band)];
        -libm::log1p(-monthly) / (720.0 * 3_600.0)
    }

    /// Probability that EC2 takes instances back as a pool runs out. In a tight market it always does; in a calm one so
    /// seldom that an instance is interrupted as often as the spot advisor says.
    fn reclaim_probability(&self, kind: &InstanceType, tight: bool) -> f64 {
        if tight {
            return 1.0;
        }
        let (up, down) = self.times(kind, true, tight);
        let runs_out_per_s = 1.0 / (up.mean_s() + down.mean_s());
        let wanted_per_s = self.advised_rate_per_s(kind) * self.reclaim_together;
        (wanted_per_s / (runs_out_per_s * self.reclaim_share)).min(1.0)
    }

    /// When a spot instance that runs from `now` on is interrupted for no reason of its pool's.
    pub(super) fn interruption(
        &self,
        kind: &InstanceType,
        tight: bool,
        uniform: f64,
        now: SimTime,
    ) -> SimTime {
        let alone = if tight { 1.0 } else { 1.0 - self.reclaim_together };
        let rate_per_s = self.advised_rate_per_s(kind) * alone;
        now + SimDuration::from_secs_f64(-libm::log(uniform) / rate_per_s)
    }
}

/// A pool's present episode.
#[derive(Clone, Debug)]
pub(super) struct CapacityPool {
    up: bool,
    until: SimTime,
    episode: u32,
    number: u32,
    /// Whose episodes it has, so far behind: those of the pool of that number.
    process: u32,
    lag: SimDuration,
    times: (Times, Times),
    reclaim_probability: f64,
    component: Component,
    /// `None`: it never empties.
    stock: Option<Stock>,
}

impl CapacityPool {
    /// The pool of this number, as it is at the start of a run: in its stationary state. A spot pool has the episodes of
    /// `process`, which stands for its type in the region, some time after it has had them; one on demand its own.
    pub(super) fn at_start(
        model: &CapacityModel,
        kind: &InstanceType,
        spot: bool,
        tight: bool,
        (number, process): (u32, u32),
        chance: &Chance,
    ) -> CapacityPool {
        let component = if spot { Component::SpotMarket } else { Component::OnDemandMarket };
        let lag = if spot {
            model.lag(kind, chance.uniform(component, number, LAG_DRAW))
        } else {
            SimDuration::ZERO
        };
        let times = model.times(kind, spot, tight);
        let (up_mean, down_mean) = (times.0.mean_s(), times.1.mean_s());
        let uniform = |draw| chance.uniform(component, process, draw);
        let up = uniform(0) < up_mean / (up_mean + down_mean);
        let law = if up { times.0 } else { times.1 };
        let left = law.draw_residual(uniform(1), uniform(2));
        let until = SimTime::ZERO + SimDuration::from_secs_f64(left);
        let mut pool = CapacityPool {
            up,
            until,
            episode: 0,
            number,
            process,
            lag,
            times,
            reclaim_probability: model.reclaim_probability(kind, tight),
            component,
            stock: None,
        };
        pool.advance(SimTime::ZERO, chance);
        pool
    }

    /// Gives the pool an end: `depth` is drawn now and with each episode of capacity to come.
    pub(super) fn with_depth(
        mut self,
        depth: &Distribution,
        refill: SimDuration,
        chance: &Chance,
    ) -> CapacityPool {
        let mut stock = Stock::new(depth.clone(), refill);
        stock.fill(SimTime::ZERO, chance.uniform(self.component, self.number, DEPTH_DRAWS));
        self.stock = Some(stock);
        self
    }

    fn advance(&mut self, now: SimTime, chance: &Chance) {
        while self.until <= now + self.lag {
            self.episode += 1;
            self.up = !self.up;
            let law = if self.up { self.times.0 } else { self.times.1 };
            let lasts = law.draw(chance.uniform(self.component, self.process, 2 + self.episode));
            let began = self.until.saturating_since(SimTime::ZERO + self.lag);
            let began = SimTime::ZERO + began;
            // An episode takes some time, so that the loop ends.
            self.until += SimDuration::from_secs_f64(lasts.max(1.0));
            if let Some(stock) = self.stock.as_mut().filter(|_| self.up) {
                stock.fill(began, chance.uniform(self.component, self.number, DEPTH_DRAWS + self.episode));
            }
        }
    }
    /// Does it have an instance?
    pub(super) fn has_capacity(&mut self, now: SimTime, chance: &Chance) -> bool {
        self.advance(now, chance);
        self.up && self.stock.as_mut().is_none_or(|stock| stock.has_one(now))
    }
    /// One of its instances is taken, which it had a moment ago.
    pub(super) fn take(&mut self) {
        if let Some(stock) = &mut self.stock {
            stock.take();
        }
    }
    /// One of its instances comes back.
    pub(super) fn give_back(&mut self) {
        if let Some(stock) = &mut self.stock {
            stock.give_back();
        }
    }
    /// The end of the present episode.
    pub(super) fn until(&self) -> SimTime {
        SimTime::ZERO + self.until.saturating_since(SimTime::ZERO + self.lag)
    }
    /// Does EC2 take instances back then?
    pub(super) fn ends_with_reclaim(&self, chance: &Chance) -> bool {
        let uniform = || chance.uniform(self.component, self.process, RECLAIM_DRAWS + self.episode);
        self.reclaim_probability >= 1.0 || uniform() < self.reclaim_probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    /// Share of pools that are up at an instant, against the ratio of the mean times.
    fn share_up(name: &str, spot: bool, tight: bool, at: SimTime) -> f64 {
        let catalogue = Catalogue::compiled_in();
        let kind = catalogue.get(catalogue.find(name).unwrap());
        let (model, pools) = (CapacityModel::compiled_in(), 4_000);
        let up = (0..pools).filter(|number| {
            let chance = Chance::new(1, *number);
            let pair = (*number, *number);
            CapacityPool::at_start(&model, kind, spot, tight, pair, &chance).has_capacity(at, &chance)
        });
        up.count() as f64 / f64::from(pools)
    }

    #[test]
    fn pools_are_stationary_from_the_start() {
        // Means: up 23 min x exp(1.71^2 / 2) = 99.2 min, down 9 min x exp(1.17^2 / 2) = 17.8 min.
        let wanted = 99.2 / (99.2 + 17.8);
        for at in [SimTime::ZERO, SimTime::from_secs(300), SimTime::from_secs(1_800)] {
            let share = share_up("m5.24xlarge", true, false, at);
            assert!((share - wanted).abs() < 0.02, "{share} of {wanted} at {at}");
        }
    }

    /// Correlation of the states of two zones, over replications.
    fn together(name: &str, spot: bool, at: SimTime) -> f64 {
        let catalogue = Catalogue::compiled_in();
        let kind = catalogue.get(catalogue.find(name).unwrap());
        let model = CapacityModel::compiled_in();
        let state = |replication: u32, number: u32| {
            let chance = Chance::new(3, replication);
            let process = if spot { 10 } else { number };
            let mut pool = CapacityPool::at_start(&model, kind, spot, true, (number, process), &chance);
            f64::from(u8::from(pool.has_capacity(at, &chance)))
        };
        let pairs: Vec<(f64, f64)> = (0..8_000).map(|run| (state(run, 10), state(run, 12))).collect();
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        let (a, b) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
        (mean(&|pair| pair.0 * pair.1) - a * b) / ((a - a * a) * (b - b * b)).sqrt()
    }

    /// As counted in the traces (models/spot): 0.24 without GPUs, 0.44 with; the error of 8,000 pairs is 0.02 at most.
    #[test]
    fn zones_of_a_type_share_part_of_their_episodes() {
        for at in [SimTime::ZERO, SimTime::from_secs(3_600)] {
            let (cpu, gpu) = (together("r5.16xlarge", true, at), together("p3.2xlarge", true, at));
            assert!((cpu - 0.24).abs() < 0.05 && (gpu - 0.44).abs() < 0.04, "{cpu} and {gpu} at {at}");
        }
        let apart = together("p3.2xlarge", false, SimTime::ZERO);
        assert!(apart.abs() < 0.04, "{apart}");
    }

    /// By the chances and times alone, and by what pools draw.
    #[test]
    fn in_a_calm_market_interruptions_are_those_of_the_band() {
        let (catalogue, model) = (Catalogue::compiled_in(), CapacityModel::compiled_in());
        for name in ["m5.large", "m5.24xlarge", "p3.2xlarge", "c5a.4xlarge"] {
            let kind = catalogue.get(catalogue.find(name).unwrap());
            let band = kind.spot.as_ref().unwrap().interruption_band;
            let monthly = [0.025, 0.075, 0.125, 0.175, 0.30][usize::from(band)];
            let (up, down) = model.times(kind, true, false);
            let waves = model.reclaim_share * model.reclaim_probability(kind, false);
            let per_s = waves / (up.mean_s() + down.mean_s());
            // The median of an exponential time is ln 2 by its rate.
            let alone = model.interruption(kind, false, 0.5, SimTime::ZERO);
            let all = per_s + libm::log(2.0) / alone.saturating_since(SimTime::ZERO).secs_f64();
            let got = 1.0 - libm::exp(-all * 720.0 * 3_600.0);
            assert!((got / monthly - 1.0).abs() < 1e-6, "{name}: {got} a month, not {monthly}");
        }
        let kind = catalogue.get(catalogue.find("m5.24xlarge").unwrap());
        let waves = |tight| {
            let ends = (0..20_000).filter(|number| {
                let (chance, pair) = (Chance::new(1, *number), (*number, *number));
                CapacityPool::at_start(&model, kind, true, tight, pair, &chance).ends_with_reclaim(&chance)
            });
            ends.count() as f64 / 20_000.0
        };
        let wanted = model.reclaim_probability(kind, false);
        assert!((waves(false) - wanted).abs() < 4.0 * (wanted / 20_000.0).sqrt(), "{}", waves(false));
        assert_eq!(waves(true), 1.0);
    }

    #[test]
    fn small_pools_are_short_more_seldom_unless_the_market_is_tight() {
        assert!(share_up("m5.large", true, false, SimTime::ZERO) > 0.985);
        assert!(share_up("m5.large", true, true, SimTime::ZERO) < 0.88);
        assert!(share_up("m5.large", false, false, SimTime::ZERO) > 0.997);
    }
}
