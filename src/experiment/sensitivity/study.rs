//! A study: what is varied about one scenario, the points of both designs, and what they come to.

use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::factor::{Change, Factor, factors, place, scaled};
use super::response::Response;
use crate::catalogue::{Catalogue, LatencyModel};
use crate::chance::Chance;
use crate::components::{Prepared, simulate};
use crate::input::{Document, Problem, Problems};
use crate::results::RESULTS_VERSION;
use crate::results::rows::CONFIDENCE;
use crate::scenario::{self, Scenario};
use crate::statistics::{
    Effect, Indices, NoiseShare, Screening, TFactors, VarianceDesign, noise_share, sobol_points,
};

/// Of the factors screened, so many go on to have their variance shared out.
const MOST_KEPT: usize = 8;
/// And of these only what moves the response by this share of what the first one does.
const LEAST_EFFECT: f64 = 0.05;

/// What is studied.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    /// Of an experiment: `c0017`.
    pub cell: Option<String>,
    pub document: Document,
    pub scenario: Scenario,
    /// Where files that the document names are looked for.
    pub folder: PathBuf,
    pub seed: u64,
}

/// How it is studied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// As typed; see [`Factor`].
    pub factors: Vec<String>,
    /// A column of the results.
    pub measure: String,
    pub trajectories: u32,
    /// Rows of the variance design.
    pub samples: u32,
    /// Of each point.
    pub replications: u32,
}

/// A study ready to run.
#[derive(Clone, Debug)]
pub struct Study {
    pub subject: Subject,
    pub options: Options,
    pub factors: Vec<Factor>,
    pub response: Response,
    /// A hash of all that results depend on.
    pub id: String,
    catalogue: Arc<Catalogue>,
}

/// A design's points, the factors they move, and by point the response of each replication.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Places in [`Study::factors`].
    pub factors: Vec<usize>,
    pub points: Vec<Vec<f64>>,
    pub responses: Vec<Vec<f64>>,
    pub noise: Option<NoiseShare>,
}

/// What the screening found.
#[derive(Clone, PartialEq, Debug)]
pub struct Screened {
    pub run: Run,
    /// (place in [`Study::factors`], effect), the largest mean absolute effect first.
    pub effects: Vec<(usize, Effect)>,
    /// The first so many of them matter.
    pub kept: usize,
}

/// The response's variance, shared out.
#[derive(Clone, PartialEq, Debug)]
pub struct Shared {
    pub run: Run,
    /// By [`Run::factors`]; empty where the response does not vary.
    pub indices: Vec<Indices>,
}

/// Told of each replication done.
pub type Done<'a> = &'a (dyn Fn(u64) + Sync);

impl Study {
    /// # Errors
    /// Everything that is wrong with what was typed.
    pub fn read(
        subject: Subject,
        options: Options,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Study, Vec<Problem>> {
        let (factors, mut problems) = factors(&options.factors, &subject.scenario.latencies);
        // Both ends of each factor by itself, so that a key that is not there is told before anything runs.
        for (factor, u) in factors.iter().flat_map(|factor| [0.0, 1.0].map(|u| (factor, u))) {
            let change = factor.change(u);
            let found = changed(&subject, &[&change], catalogue).err().unwrap_or_default();
            problems.extend(found.into_iter().map(|problem| as_typed(problem, &change, factor, &options)));
        }
        // In the order in which they were typed.
        let place_of =
            |problem: &Problem| options.factors.iter().position(|text| place(text) == problem.place);
        problems.sort_by_key(|problem| place_of(problem).unwrap_or(usize::MAX));
        let response = Response::named(&options.measure).map_err(|problem| problems.push(problem));
        match response {
            Ok(response) if problems.is_empty() => {
                let id = identity(&subject, &options, &factors);
                Ok(Study { subject, options, factors, response, id, catalogue: catalogue.clone() })
            }
            _ => Err(unlike(problems)),
        }
    }

    /// The scenario with some factors at a point.
    fn scenario(&self, factors: &[usize], point: &[f64]) -> Result<Scenario, Vec<Problem>> {
        let changes: Vec<Change> =
            factors.iter().zip(point).map(|(factor, u)| self.factors[*factor].change(*u)).collect();
        changed(&self.subject, &changes.iter().collect::<Vec<_>>(), &self.catalogue)
    }

    /// How many replications the screening takes.
    pub fn screening_work(&self) -> u64 {
        u64::from(self.options.trajectories)
            * (self.factors.len() as u64 + 1)
            * u64::from(self.options.replications)
    }
    /// How many replications sharing the variance out takes.
    pub fn sharing_work(&self, screened: &Screened) -> u64 {
        if screened.kept == 0 { 0 } else { self.sharing_among(screened.kept) }
    }
    /// The same before the screening, at most.
    pub(super) fn most_sharing_work(&self) -> u64 {
        self.sharing_among(self.factors.len().min(MOST_KEPT))
    }
    fn sharing_among(&self, kept: usize) -> u64 {
        u64::from(self.options.samples) * (kept as u64 + 2) * u64::from(self.options.replications)
    }

    /// Screens all factors.
    ///
    /// # Errors
    /// If a point is no valid scenario, or a replication has no such number.
    pub fn screen(&self, done: Done<'_>) -> Result<Screened, Vec<Problem>> {
        let chance = Chance::new(self.subject.seed, 0);
        let design = Screening::new(self.factors.len(), self.options.trajectories, &chance);
        let run = self.run((0..self.factors.len()).collect(), design.points(), done)?;
        let found = design.effects(&run.means(), &mut TFactors::new(CONFIDENCE));
        let mut effects: Vec<(usize, Effect)> = found.into_iter().enumerate().collect();
        let size = |effect: &(usize, Effect)| effect.1.absolute.mean;
        effects.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.0.cmp(&b.0)));
        let least = LEAST_EFFECT * effects.first().map_or(0.0, size);
        let matters = |effect: &&(usize, Effect)| size(effect) > 0.0 && size(effect) >= least;
        let kept = effects.iter().take(MOST_KEPT).take_while(matters).count();
        Ok(Screened { run, effects, kept })
    }

    /// Shares the variance out among the factors that matter; the others stay as the scenario has them.
    ///
    /// # Errors
    /// If a point is no valid scenario, or a replication has no such number.
    pub fn share(&self, screened: &Screened, done: Done<'_>) -> Result<Shared, Vec<Problem>> {
        let factors: Vec<usize> =
            screened.effects[..screened.kept].iter().map(|(factor, _)| *factor).collect();
        let samples = if factors.is_empty() { 0 } else { self.options.samples as usize };
        let rows = sobol_points(samples, 2 * factors.len(), self.subject.seed);
        let design = VarianceDesign::new(factors.len(), &rows);
        let run = self.run(factors, design.points(), done)?;
        let indices = design.indices(&run.means(), &Chance::new(self.subject.seed, 0));
        Ok(Shared { run, indices: indices.unwrap_or_default() })
    }

    /// All replications of all points.
    fn run(&self, factors: Vec<usize>, points: &[Vec<f64>], done: Done<'_>) -> Result<Run, Vec<Problem>> {
        let mut scenarios = Vec::with_capacity(points.len());
        let mut problems = Vec::new();
        for scenario in points.par_iter().map(|point| self.scenario(&factors, point)).collect::<Vec<_>>() {
            match scenario {
                Ok(scenario) => scenarios.push(scenario),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(unlike(problems));
        }
        let responses: Vec<Result<Vec<f64>, Problem>> =
            scenarios.into_par_iter().map(|scenario| self.replications(scenario, done)).collect();
        let responses =
            responses.into_iter().collect::<Result<Vec<_>, _>>().map_err(|problem| vec![problem])?;
        let noise = noise_share(&responses);
        Ok(Run { factors, points: points.to_vec(), responses, noise })
    }

    fn replications(&self, scenario: Scenario, done: Done<'_>) -> Result<Vec<f64>, Problem> {
        let horizon_ms = scenario.horizon.millis();
        let prepared = Prepared::new(scenario);
        let one = |replication| {
            let record = simulate(&prepared, self.subject.seed, replication);
            done(1);
            self.response.value(&record, horizon_ms)
        };
        let values: Vec<Option<f64>> = (0..self.options.replications).into_par_iter().map(one).collect();
        let all = values.into_iter().collect::<Option<Vec<f64>>>();
        all.ok_or_else(|| Problem {
            place: format!("--measure {}", self.options.measure),
            line: None,
            key: String::new(),
            what: format!("some runs have no {}", self.response.column),
            hint: Some("take a measure that every run has, such as waste_to_horizon_address_hours".into()),
        })
    }
}

impl Shared {
    /// What is to be said where shares add up to more than there is; `None` where they do not.
    pub fn remark(&self, study: &Study) -> Option<String> {
        let above =
            |(_, indices): &(&usize, &Indices)| indices.first.estimate > 1.0 || indices.total.estimate > 1.0;
        let found = self.run.factors.iter().zip(&self.indices).filter(above);
        let mut names: Vec<&str> = found.map(|(factor, _)| study.factors[*factor].name.as_str()).collect();
        if self.indices.iter().map(|indices| indices.first.estimate).sum::<f64>() > 1.0 && names.is_empty() {
            names.push("all alone, together");
        }
        if names.is_empty() {
            return None;
        }
        let rows = study.options.samples;
        Some(format!(
            "no share is above 100 %: that {} came out so is an error of estimation, which {rows} rows leave; --samples {} halves its square",
            names.join(", "),
            rows * 2
        ))
    }
}

impl Run {
    pub(super) fn means(&self) -> Vec<f64> {
        self.responses.iter().map(|values| values.iter().sum::<f64>() / values.len() as f64).collect()
    }
}

/// The subject's scenario with all of these.
fn changed(
    subject: &Subject,
    changes: &[&Change],
    catalogue: &Arc<Catalogue>,
) -> Result<Scenario, Vec<Problem>> {
    let (mut problems, mut document) = (Problems::default(), None);
    for change in changes {
        if let Change::Setting(text) = change {
            let document = document.get_or_insert_with(|| subject.document.clone());
            document.set(text, &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let mut scenario = match &document {
        None => subject.scenario.clone(),
        Some(document) => scenario::read(document, &subject.name, &subject.folder, catalogue)?.scenario,
    };
    for change in changes {
        if let Change::Latency(latency, times) = change {
            let model = scenario.latencies.get(*latency);
            let model = LatencyModel { law: scaled(*latency, &model.law, *times), ..model.clone() };
            scenario.latencies.set(*latency, model);
        }
    }
    Ok(scenario)
}

/// A problem with what a factor sets, at what was typed for the factor: nobody typed a `--set`.
fn as_typed(problem: Problem, change: &Change, factor: &Factor, options: &Options) -> Problem {
    let Change::Setting(setting) = change else { return problem };
    let text = options.factors.iter().rev().find(|text| factor.is_named_by(text));
    match text {
        Some(text) if problem.place == format!("--set {setting}") => {
            Problem { place: place(text), ..problem }
        }
        _ => problem,
    }
}

/// Each problem once.
fn unlike(problems: Vec<Problem>) -> Vec<Problem> {
    let mut unlike: Vec<Problem> = Vec::new();
    for problem in problems {
        if !unlike.contains(&problem) {
            unlike.push(problem);
        }
    }
    unlike
}

fn identity(subject: &Subject, options: &Options, factors: &[Factor]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("results {RESULTS_VERSION}, sensitivity, seed {}\n", subject.seed));
    hash.update(format!("{:?}\n{options:?}\n{factors:?}\n", subject.document.root.to_toml()));
    hash.update(format!("{:?}", subject.scenario.catalogue.source));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
