//! Reads instance types from CSV. All problems are reported, not the first.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::instance_type::{Architecture, Hypervisor, InstanceType, SpotAdvice};

/// One thing wrong with a catalogue file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {value:?} {trouble}")]
pub struct FileProblem {
    /// From 1; the header is line 1.
    pub line: u64,
    pub column: String,
    pub value: String,
    /// What is wrong and what would be right.
    pub trouble: String,
}

const COLUMNS: [&str; 35] = [
    "instance_type",
    "family",
    "size",
    "category",
    "generation",
    "arch",
    "cpu_manufacturer",
    "cpu_mhz",
    "vcpus",
    "memory_mib",
    "hypervisor",
    "burstable",
    "flex",
    "max_enis",
    "ipv4_per_eni",
    "network_cards",
    "default_network_card",
    "trunking",
    "branch_interfaces",
    "efa_interfaces",
    "network_mbps",
    "ebs_mbps",
    "local_nvme_gb",
    "gpu_count",
    "gpu_name",
    "gpu_manufacturer",
    "gpu_memory_mib_each",
    "accelerator_count",
    "accelerator_name",
    "accelerator_manufacturer",
    "on_demand_usd_per_hour",
    "spot_savings_pct",
    "spot_interruption_band",
    "complete",
    "ipamd_max_enis",
];

/// The rows of `text` as instance types, in the order of the file.
pub fn read(text: &str) -> Result<Vec<InstanceType>, Vec<FileProblem>> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let mut problems = Vec::new();
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(vec![problem(1, "", "", error.to_string())]),
    };
    for name in &header {
        if !COLUMNS.contains(&name) {
            let trouble = format!("is no column of a catalogue; the columns are {}", COLUMNS.join(", "));
            problems.push(problem(1, name, name, trouble));
        }
    }
    let mut types = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, record) in reader.records().enumerate() {
        match record {
            Err(error) => problems.push(problem(index as u64 + 2, "", "", error.to_string())),
            Ok(record) => {
                let line = record.position().map_or(index as u64 + 2, csv::Position::line);
                let mut row = Row { header: &header, record: &record, line, problems: &mut problems };
                let instance_type = row.instance_type();
                if !seen.insert(instance_type.name.clone()) {
                    row.complain("instance_type", "stands there twice; keep one of the rows");
                }
                types.push(instance_type);
            }
        }
    }
    if problems.is_empty() { Ok(types) } else { Err(problems) }
}

fn problem(line: u64, column: &str, value: &str, trouble: String) -> FileProblem {
    FileProblem { line, column: column.to_string(), value: value.to_string(), trouble }
}

struct Row<'a> {
    header: &'a csv::StringRecord,
    record: &'a csv::StringRecord,
    line: u64,
    problems: &'a mut Vec<FileProblem>,
}

impl Row<'_> {
    /// The cell of a column, `None` where blank or absent.
    fn text(&self, column: &str) -> Option<String> {
        let place = self.header.iter().position(|name| name == column)?;
        let value = self.record.get(place)?.trim();
        (!value.is_empty()).then(|| value.to_string())
    }

    fn complain(&mut self, column: &str, trouble: &str) {
        let value = self.text(column).unwrap_or_default();
        self.problems.push(problem(self.line, column, &value, trouble.to_string()));
    }

    fn number<T: FromStr>(&mut self, column: &str) -> Option<T> {
        let text = self.text(column)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.complain(column, "is no number of this column's range; leave it blank if unknown");
        }
        number
    }

    fn flag(&mut self, column: &str) -> Option<bool> {
        match self.text(column)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.complain(column, "is neither true nor false");
                None
            }
        }
    }

    fn architecture(&mut self) -> Option<Architecture> {
        match self.text("arch")?.as_str() {
            "x86_64" | "amd64" => Some(Architecture::Amd64),
            "arm64" => Some(Architecture::Arm64),
            _ => {
                self.complain("arch", "is neither x86_64 nor arm64");
                None
            }
        }
    }

    fn hypervisor(&mut self) -> Option<Hypervisor> {
        match self.text("hypervisor")?.as_str() {
            "nitro" => Some(Hypervisor::Nitro),
            "xen" => Some(Hypervisor::Xen),
            "metal" => Some(Hypervisor::Metal),
            _ => {
                self.complain("hypervisor", "is none of nitro, xen, metal");
                None
            }
        }
    }

    fn price(&mut self) -> Option<f64> {
        let price: f64 = self.number("on_demand_usd_per_hour")?;
        if price.is_finite() && price > 0.0 {
            return Some(price);
        }
        self.complain("on_demand_usd_per_hour", "is no price; leave it blank for a type that is not offered");
        None
    }

    fn spot(&mut self) -> Option<SpotAdvice> {
        let savings_pct: i32 = self.number("spot_savings_pct")?;
        let interruption_band = self.number("spot_interruption_band").unwrap_or(2);
        if !(-1000..100).contains(&savings_pct) {
            self.complain("spot_savings_pct", "lies outside -1000..99");
        }
        if interruption_band > 4 {
            self.complain("spot_interruption_band", "lies outside 0..4");
        }
        Some(SpotAdvice { savings_pct, interruption_band })
    }

    fn instance_type(&mut self) -> InstanceType {
        let name = self.text("instance_type").unwrap_or_default();
        if name.is_empty() {
            self.complain("instance_type", "is missing; every row needs a name such as m5.large");
        }
        let (family, size) = name.split_once('.').unwrap_or((&name, ""));
        let leading: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        let digits: String =
            name.chars().skip_while(char::is_ascii_alphabetic).take_while(char::is_ascii_digit).collect();
        let has_generation = self.header.iter().any(|column| column == "generation");
        let generation = if has_generation { self.number("generation") } else { digits.parse().ok() };
        let architecture = self.architecture();
        let (vcpus, memory_mib) = (self.number("vcpus"), self.number("memory_mib"));
        let (max_enis, ipv4_per_eni) = (self.number("max_enis"), self.number("ipv4_per_eni"));
        let hypervisor = self.hypervisor();
        let on_demand_usd_per_hour = self.price();
        let known = architecture.is_some()
            && vcpus.is_some()
            && memory_mib.is_some()
            && hypervisor.is_some()
            && max_enis.is_some()
            && ipv4_per_eni.is_some()
            && on_demand_usd_per_hour.is_some();
        InstanceType {
            family: self.text("family").unwrap_or_else(|| family.to_string()),
            size: self.text("size").unwrap_or_else(|| size.to_string()),
            category: self.text("category").unwrap_or(leading),
            generation,
            architecture,
            cpu_manufacturer: self.text("cpu_manufacturer"),
            cpu_mhz: self.number("cpu_mhz"),
            vcpus,
            memory_mib,
            hypervisor,
            burstable: self.flag("burstable").unwrap_or(false),
            flex: self.flag("flex").unwrap_or(false),
            max_enis,
            ipamd_max_enis: self.number("ipamd_max_enis").or(max_enis),
            ipv4_per_eni,
            network_cards: self.number("network_cards"),
            default_network_card: self.number("default_network_card"),
            trunking: self.flag("trunking"),
            branch_interfaces: self.number("branch_interfaces").unwrap_or(0),
            efa_interfaces: self.number("efa_interfaces").unwrap_or(0),
            network_mbps: self.number("network_mbps"),
            ebs_mbps: self.number("ebs_mbps"),
            local_nvme_gb: self.number("local_nvme_gb").unwrap_or(0),
            gpu_count: self.number("gpu_count").unwrap_or(0),
            gpu_name: self.text("gpu_name"),
            gpu_manufacturer: self.text("gpu_manufacturer"),
            gpu_memory_mib_each: self.number("gpu_memory_mib_each"),
            accelerator_count: self.number("accelerator_count").unwrap_or(0),
            accelerator_name: self.text("accelerator_name"),
            accelerator_manufacturer: self.text("accelerator_manufacturer"),
            on_demand_usd_per_hour,
            spot: self.spot(),
            complete: known && self.flag("complete").unwrap_or(true),
            name,
        }
    }
}
