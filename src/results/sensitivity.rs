//! The tables of a sensitivity study and their columns.

use super::tables::{Column, ColumnType, column};

/// The tables, by file.
pub const SENSITIVITY_TABLES: [(&str, &str); 3] = [
    (
        "morris",
        "One row a factor, what moves the measure most first: change of the measure for the factor's whole range.",
    ),
    (
        "sobol",
        "One row a factor that matters: the shares of the measure's variance that it explains, with 95 % intervals.",
    ),
    ("points", "One row a point of either design, in order: where it lies, and what came of it."),
];

/// What a factor is, at the head of both tables of factors.
fn factor_columns() -> Vec<Column> {
    use ColumnType::Text;
    vec![
        column("factor", Text, "", "A latency of models/latency.toml, or a key of the scenario."),
        column("varied", Text, "", "Over which values; x: times what it is, evenly in its logarithm."),
        column("measure", Text, "", "The column of replications.csv whose mean is studied."),
    ]
}

/// Columns of a table; `points` has one more for each factor after the point's number.
///
/// # Panics
/// If there is no such table.
pub fn sensitivity_columns(table: &str) -> Vec<Column> {
    use ColumnType::{Integer, Number, Text};
    let mut columns = if table == "points" { Vec::new() } else { factor_columns() };
    let number = |name: &str, meaning: &str| column(name, Number, "", meaning);
    columns.extend(match table {
        "morris" => vec![
            column("unit", Text, "", "Unit of the five columns that follow."),
            number("mu_star", "Mean of the absolute change for the factor's whole range."),
            number("mu_star_lo", "Lower end of its 95 % interval."),
            number("mu_star_hi", "Upper end of its 95 % interval."),
            number("mu", "Mean of the change, upward: its sign is the direction."),
            number("sigma", "Standard deviation of the change over places: interactions, curvature, noise."),
            column("kept", Integer, "", "1 if its variance share was worked out too."),
        ],
        "sobol" => vec![
            number("first", "Share of the variance that it explains alone."),
            number("first_lo", "Lower end of its interval."),
            number("first_hi", "Upper end of its interval."),
            number("total", "Share with all its interactions."),
            number("total_lo", "Lower end of its interval."),
            number("total_hi", "Upper end of its interval."),
            number("noise", "What chance adds to a point's mean, as a share of the variance between points."),
            number(
                "noise_paired",
                "The same without what it adds to all points, which meet the same replications; a total up to this may be chance alone.",
            ),
        ],
        "points" => vec![
            column("design", Text, "", "morris or sobol."),
            column("point", Integer, "", "Number of the point in its design, from 0."),
            number("response", "Mean of the measure over the point's replications."),
            number("response_sd", "Its standard deviation from one replication to the next."),
        ],
        other => panic!("a sensitivity study has no table {other:?}"),
    });
    columns
}
