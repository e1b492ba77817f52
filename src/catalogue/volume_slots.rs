//! How many EBS volumes instances take: `models/volume-limits/`.

use std::collections::BTreeMap;

use super::InstanceType;

/// Volumes that an instance takes beside its primary network interface, its own root volume included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VolumeSlots {
    pub attachments: u32,
    /// Each further network interface takes one, too.
    pub shared: bool,
}

/// Of a type that the table does not name.
const USUAL: VolumeSlots = VolumeSlots { attachments: 27, shared: true };

/// The table that is compiled in.
const TABLE: &str = include_str!("../../models/volume-limits/volume-limits.csv");

/// For each of these types, as the EBS CSI driver 1.64 knows them by name.
///
/// # Panics
/// Never: a test reads the same table.
pub fn volume_slots(types: &[InstanceType]) -> Vec<VolumeSlots> {
    let rows = TABLE.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, attachments, kind] = fields[..] else { panic!("three columns in {line:?}") };
        let attachments = attachments.parse().expect("a number of volumes");
        (name, VolumeSlots { attachments, shared: kind == "shared" })
    });
    let known: BTreeMap<&str, VolumeSlots> = rows.collect();
    types.iter().map(|found| known.get(found.name.as_str()).copied().unwrap_or(USUAL)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    /// Values of the driver's own table.
    #[test]
    fn types_have_the_drivers_slots() {
        let catalogue = Catalogue::compiled_in();
        let slots = volume_slots(catalogue.types());
        let of = |name: &str| slots[catalogue.find(name).unwrap().index()];
        let shared = |attachments| VolumeSlots { attachments, shared: true };
        let dedicated = |attachments| VolumeSlots { attachments, shared: false };
        assert_eq!(of("m5.large"), shared(27));
        assert_eq!(of("m5d.large"), shared(26));
        assert_eq!(of("m5.metal"), shared(31));
        assert_eq!(of("m7i.large"), dedicated(32));
        // The API says shared of it.
        assert!(!of("m8a.metal-48xl").shared);
        assert_eq!(of("m4.large"), dedicated(39));
    }

    #[test]
    fn the_table_names_each_type_once_in_order() {
        let names: Vec<&str> = TABLE.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(TABLE.lines().skip(1).all(|line| line.ends_with(",shared") || line.ends_with(",dedicated")));
    }
}
