use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::{BAD_INPUT, FAILED, types};
use crate::actors::karpenter::{NodeSettings, allocatable};
use crate::catalogue::{Catalogue, InstanceType};
use crate::units::{ExtendedResource, MIB};

/// List instance types: limits, pods, what Karpenter predicts as allocatable, price, GPUs and other devices
///
/// Allocatable is for AL2023 with Karpenter's default settings; prices are on-demand, Linux, us-east-1.
/// What is not known stays empty.
///
/// Example: kilopod instances --category c,m,r --min-generation 3 --max-vcpus 32 --csv
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these instance types
    #[arg(value_name = "TYPE")]
    types: Vec<String>,
    /// Only these categories, such as c,m,r
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    category: Vec<String>,
    /// Only these families, such as m5,c6g
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    family: Vec<String>,
    /// Only this architecture: amd64 or arm64
    #[arg(long, value_parser = ["amd64", "arm64"])]
    arch: Option<String>,
    #[arg(long, value_name = "N")]
    min_generation: Option<u32>,
    #[arg(long, value_name = "N")]
    min_vcpus: Option<u32>,
    #[arg(long, value_name = "N")]
    max_vcpus: Option<u32>,
    /// Only types with room for so many pods
    #[arg(long, value_name = "N")]
    min_pods: Option<u32>,
    /// Comma-separated values instead of a table
    #[arg(long)]
    csv: bool,
    /// Print JSON instead of a table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
}

/// The last six are the devices, in the order of their kinds.
const HEADER: [&str; 15] = [
    "instance_type",
    "vcpus",
    "memory_mib",
    "max_enis",
    "ipv4_per_eni",
    "max_pods",
    "allocatable_cpu_millicores",
    "allocatable_memory_mib",
    "on_demand_usd_per_hour",
    "nvidia_gpus",
    "amd_gpus",
    "neuron_devices",
    "neuron_cores",
    "gaudis",
    "efas",
];
const PLAIN: usize = 9;
const DEVICES: [ExtendedResource; 6] = ExtendedResource::DEVICES;
type Row = [String; HEADER.len()];

pub fn run(arguments: &Arguments) -> u8 {
    let catalogue = Catalogue::compiled_in();
    let unknown = |name: &String| types::named(&catalogue, name).err();
    let problems: Vec<String> = arguments.types.iter().filter_map(unknown).collect();
    if !problems.is_empty() {
        problems.iter().for_each(|problem| say!("error: {problem}"));
        return BAD_INPUT;
    }
    let rows: Vec<Row> = catalogue.types().iter().filter(|found| arguments.keep(found)).map(row).collect();
    if rows.is_empty() {
        say!("no instance type of the catalogue passes these filters");
    }
    if arguments.json {
        return super::print_json(&rows.iter().map(as_json).collect());
    }
    let text = if arguments.csv { as_csv(&rows) } else { Ok(as_table(&rows)) };
    match text {
        Ok(text) => super::print(&text),
        Err(error) => {
            say!("error: {error}");
            FAILED
        }
    }
}

impl Arguments {
    /// Does the type pass every filter? What is not known passes none.
    fn keep(&self, found: &InstanceType) -> bool {
        let listed =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|entry| entry == value);
        let at_least = |bound: Option<u32>, value: Option<u32>| {
            bound.is_none_or(|bound| value.is_some_and(|v| v >= bound))
        };
        listed(&self.types, &found.name)
            && listed(&self.category, &found.category)
            && listed(&self.family, &found.family)
            && self
                .arch
                .as_ref()
                .is_none_or(|arch| found.architecture.is_some_and(|known| known.label() == arch))
            && at_least(self.min_generation, found.generation)
            && at_least(self.min_vcpus, found.vcpus)
            && self.max_vcpus.is_none_or(|bound| found.vcpus.is_some_and(|vcpus| vcpus <= bound))
            && at_least(self.min_pods, found.eni_limited_max_pods())
    }
}

fn row(found: &InstanceType) -> Row {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    let offers = allocatable(found, &NodeSettings::default());
    let [gpus, amd_gpus, neurons, cores, gaudis, efas] =
        DEVICES.map(|device| found.devices(device).to_string());
    [
        found.name.clone(),
        text(found.vcpus),
        text(found.memory_mib),
        text(found.max_enis),
        text(found.ipv4_per_eni),
        text(found.eni_limited_max_pods()),
        text(offers.map(|offers| offers.cpu_millis)),
        text(offers.map(|offers| offers.memory_bytes / MIB)),
        text(found.on_demand_usd_per_hour.map(|price| format!("{price:.6}"))),
        gpus,
        amd_gpus,
        neurons,
        cores,
        gaudis,
        efas,
    ]
}

/// `8 nvidia.com/gpu, 32 vpc.amazonaws.com/efa`
fn devices_of(row: &Row) -> String {
    let there = row[PLAIN..].iter().zip(DEVICES).filter(|(count, _)| *count != "0");
    let told: Vec<String> = there.map(|(count, device)| format!("{count} {}", device.name())).collect();
    told.join(", ")
}

fn as_csv(rows: &[Row]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8(bytes).expect("names and numbers are UTF-8"))
}

/// One type by column; what is not known is null.
fn as_json(row: &Row) -> Value {
    let value = |(column, field): (&str, &String)| match (column, field.as_str()) {
        (_, "") => (column.to_string(), Value::Null),
        ("instance_type", name) => (column.to_string(), name.into()),
        (_, number) => {
            (column.to_string(), serde_json::from_str(number).expect("the other columns are numbers"))
        }
    };
    HEADER.into_iter().zip(row).map(value).collect::<serde_json::Map<String, Value>>().into()
}

fn as_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let has_devices = rows.iter().any(|row| row[PLAIN..].iter().any(|count| count != "0"));
    let mut names = vec![
        "instance type",
        "vCPUs",
        "MiB",
        "ENIs",
        "IPv4/ENI",
        "max pods",
        "alloc. mCPU",
        "alloc. MiB",
        "USD/h",
    ];
    names.extend(has_devices.then_some("devices"));
    table.set_header(names);
    for row in rows {
        let devices = has_devices.then(|| devices_of(row));
        table.add_row(row[..PLAIN].iter().cloned().chain(devices));
    }
    for column in table.column_iter_mut().filter(|column| column.index > 0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string() + "\n"
}
