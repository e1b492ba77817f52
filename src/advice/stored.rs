//! Claims on the results of a finished sweep: base and candidate must be cells of its plan.

use std::path::Path;
use std::sync::Arc;

use super::judge::{Judged, Sides, judge_stored};
use super::read::Advice;
use crate::catalogue::Catalogue;
use crate::experiment::{self, Cell, Overrides, Plan, Stored};
use crate::results::Measure;
use crate::scenario;

/// Tries all claims of a file on stored results.
///
/// # Errors
/// If they are not of the plan that the advice's experiment comes to, were cut short by a time budget, or the plan has no cell
/// like base or candidate.
pub fn judge_results(
    advice: &Advice,
    stored: &Stored,
    catalogue: &Arc<Catalogue>,
) -> Result<Vec<Judged>, String> {
    if !stored.cut_short.is_empty() {
        return Err(format!(
            "{} cells stopped as the time was over, so that how many runs they have hung on the machine: no claim is judged by \
             them ({})",
            stored.cut_short.len(),
            stored.cut_short.join(", ")
        ));
    }
    let experiment =
        advice.experiment.as_ref().ok_or("it names no experiment, whose results these could be")?;
    let plan = plan(experiment, stored, catalogue)?;
    let own = [("base", &advice.base_document), ("candidate", &advice.candidate_document)];
    let meant = own.map(|(name, document)| {
        // By the plan's name, which would else tell them apart.
        let spelled = scenario::spelled_out(document, &plan.name, &advice.folder, catalogue);
        (name, spelled)
    });
    let mut found: [Option<&Cell>; 2] = [None; 2];
    for cell in &plan.cells {
        let spelled = scenario::spelled_out(&cell.document, &plan.name, &plan.folder, catalogue);
        for (slot, (_, meant)) in found.iter_mut().zip(&meant) {
            if slot.is_none() && *meant == spelled {
                *slot = Some(cell);
            }
        }
    }
    let missing: Vec<&str> =
        meant.iter().zip(&found).filter(|(_, cell)| cell.is_none()).map(|((name, _), _)| *name).collect();
    let [Some(base), Some(candidate)] = found else {
        return Err(format!("{} has no cell like the advice's {}", plan.name, missing.join(" and ")));
    };
    let sides = sides(advice, stored, &candidate.id(), &base.id())?;
    Ok(judge_stored(advice, &sides))
}

/// The plan that was run, made anew.
fn plan(experiment: &Path, stored: &Stored, catalogue: &Arc<Catalogue>) -> Result<Plan, String> {
    let (precision, measure) = stored.precision.clone().unzip();
    let overrides = Overrides {
        replications: Some(stored.replications),
        seed: Some(stored.seed),
        precision,
        measure,
        ..Overrides::default()
    };
    let plan = experiment::read_file(experiment, &[], &overrides, catalogue)
        .map_err(|problems| format!("{} cannot be read: {}", experiment.display(), problems[0].what))?;
    if plan.id == stored.plan_id {
        return Ok(plan);
    }
    if plan.name != stored.name {
        return Err(format!(
            "the results are of the experiment {:?}, and {} is wanted, which is {:?}",
            stored.name,
            experiment.display(),
            plan.name
        ));
    }
    Err(format!(
        "the results are of plan {}, and {} comes to {}: it was changed since, or another version ran it, or it was run with other settings",
        stored.plan_id,
        experiment.display(),
        plan.id
    ))
}

/// Both sides of each claim; only replications that both cells have, so that they are pairs.
fn sides(advice: &Advice, stored: &Stored, candidate: &str, base: &str) -> Result<Vec<Sides>, String> {
    let measures: Vec<Measure> = advice.claims.iter().map(|claim| claim.measure.clone()).collect();
    let (columns, runs) = stored.runs(&measures)?;
    let of = |id: &str| {
        runs.iter().find(|cell| cell.keys[0] == id).ok_or_else(|| format!("{id} has no replication"))
    };
    let (candidate, base) = (of(candidate)?, of(base)?);
    let side = |cell: &experiment::Runs, other: &experiment::Runs, place: usize| {
        let common = |(number, _): &(&u32, &Option<f64>)| other.replications.binary_search(number).is_ok();
        let values = cell.replications.iter().zip(&cell.values[place]).filter(common);
        values.map(|(_, value)| value.map(|value| libm::round(value) as u64)).collect()
    };
    let sides = |measure: &Measure| {
        let place = columns.place(&measure.name);
        Sides { candidate: side(candidate, base, place), base: side(base, candidate, place) }
    };
    Ok(measures.iter().map(sides).collect())
}
