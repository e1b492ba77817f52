//! A full grid taken apart: what each factor's levels add to the mean over all cells, and what each pair of levels adds to
//! that. Exact for the cells' means, since every combination is there once (analysis of variance of a full factorial).

/// What one factor, or a pair of them, does.
#[derive(Clone, PartialEq, Debug)]
pub struct Term {
    /// Its factors: one or two.
    pub factors: Vec<usize>,
    /// (level of each, what it adds to the mean and, of a pair, to what its levels add alone), the last factor's fastest.
    pub effects: Vec<(Vec<usize>, f64)>,
    /// Its share of the cells' sum of squares; `None` where the cells do not differ. What all terms leave belongs to
    /// interactions of three and more.
    pub share: Option<f64>,
}

/// Main effects, then interactions of two, of a grid with so many `levels` of each factor; `cells` with the last factor
/// changing fastest.
///
/// # Panics
/// If there is not one value for each combination.
pub fn grid_effects(levels: &[usize], cells: &[f64]) -> Vec<Term> {
    assert_eq!(levels.iter().product::<usize>(), cells.len(), "a value for each combination");
    let mean = cells.iter().sum::<f64>() / cells.len() as f64;
    let all: f64 = cells.iter().map(|cell| (cell - mean) * (cell - mean)).sum();
    let of =
        |factor: usize, cell: usize| cell / levels[factor + 1..].iter().product::<usize>() % levels[factor];
    let term = |factors: Vec<usize>, effects: Vec<(Vec<usize>, f64)>| {
        let each = cells.len() as f64 / effects.len() as f64;
        let squares: f64 = effects.iter().map(|(_, effect)| effect * effect * each).sum();
        Term { factors, effects, share: (all > 0.0).then(|| squares / all) }
    };
    let mains: Vec<Term> = (0..levels.len())
        .map(|factor| {
            let at = |level| average(cells, |cell| of(factor, cell) == level) - mean;
            term(vec![factor], (0..levels[factor]).map(|level| (vec![level], at(level))).collect())
        })
        .collect();
    let mut terms = mains.clone();
    for first in 0..levels.len() {
        for second in first + 1..levels.len() {
            let pairs = (0..levels[first]).flat_map(|a| (0..levels[second]).map(move |b| (a, b)));
            let effect = |(a, b): (usize, usize)| {
                let here = average(cells, |cell| of(first, cell) == a && of(second, cell) == b);
                let alone = mains[first].effects[a].1 + mains[second].effects[b].1;
                (vec![a, b], here - mean - alone)
            };
            terms.push(term(vec![first, second], pairs.map(effect).collect()));
        }
    }
    terms
}

fn average(cells: &[f64], is: impl Fn(usize) -> bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (_, cell) in cells.iter().enumerate().filter(|(place, _)| is(*place)) {
        sum += cell;
        count += 1.0;
    }
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_made_of_known_effects_gives_them_back() {
        let (a, b, c) = ([-3.0, 3.0], [-2.0, 0.0, 2.0], [-1.0, 1.0]);
        let together = |i: usize, j: usize| [[0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]][i][j];
        let mut cells = Vec::new();
        for (i, a) in a.iter().enumerate() {
            for (j, b) in b.iter().enumerate() {
                cells.extend(c.map(|c| 100.0 + a + b + c + together(i, j)));
            }
        }
        let terms = grid_effects(&[2, 3, 2], &cells);
        let factors: Vec<&[usize]> = terms.iter().map(|term| &term.factors[..]).collect();
        assert_eq!(factors, [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]]);
        let near = |term: usize, effects: &[f64]| {
            assert_eq!(terms[term].effects.len(), effects.len());
            for ((_, found), wanted) in terms[term].effects.iter().zip(effects) {
                assert!((found - wanted).abs() < 1e-9, "{:?}", terms[term]);
            }
        };
        near(0, &a);
        near(1, &b);
        near(2, &c);
        near(3, &[0.5, 0.0, -0.5, -0.5, 0.0, 0.5]);
        near(4, &[0.0; 4]);
        assert_eq!(terms[3].effects[5].0, [1, 2]);
        // Sums of squares: 9 x 12, 4 x 8, 1 x 12 and 0.25 x 8.
        let all = 108.0 + 32.0 + 12.0 + 2.0;
        for (term, squares) in terms.iter().zip([108.0, 32.0, 12.0, 2.0, 0.0, 0.0]) {
            assert!((term.share.unwrap() - squares / all).abs() < 1e-9, "{term:?}");
        }
    }

    #[test]
    fn what_only_three_factors_do_together_is_in_no_term() {
        let parity: Vec<f64> = (0..8u32).map(|cell| f64::from(cell.count_ones() % 2)).collect();
        let terms = grid_effects(&[2, 2, 2], &parity);
        assert!(terms.iter().all(|term| term.share == Some(0.0)), "{terms:?}");
        assert!(grid_effects(&[2, 2], &[5.0; 4]).iter().all(|term| term.share.is_none()));
    }
}
