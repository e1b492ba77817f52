//! Instance types named on the command line.

use crate::catalogue::{Catalogue, InstanceType};
use crate::input::nearest;

/// The type of this name.
///
/// # Errors
/// What to tell a person who wrote a name that is not there: with the nearest that is.
pub fn named<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a InstanceType, String> {
    if let Some(id) = catalogue.find(name) {
        return Ok(catalogue.get(id));
    }
    let names: Vec<&str> = catalogue.types().iter().map(|known| known.name.as_str()).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("; did you mean {near}?"),
        None => "; `kilopod instances` lists those that are".to_string(),
    };
    Err(format!("{name:?} is not an instance type of the catalogue{hint}"))
}

/// The type's ENIs and addresses per ENI.
///
/// # Errors
/// If the catalogue does not know them.
pub fn interface_limits(found: &InstanceType) -> Result<(u32, u32), String> {
    match (found.max_enis, found.ipv4_per_eni) {
        (Some(enis), Some(addresses)) => Ok((enis, addresses)),
        _ => Err(format!("the interface limits of {} are not known", found.name)),
    }
}
