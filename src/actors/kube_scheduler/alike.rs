//! Feasible nodes by what their score hangs on: under the system's default constraints those of one kind score the same, so
//! that an attempt looks at a few kinds, as sets of bits, and not at hundreds of nodes.

use std::ops::Range;

use super::spread;

/// What a node's score for a pod of the Deployment hangs on, all else being equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    pub zone: u32,
    /// Pods of the Deployment on the node.
    pub pods: u32,
    /// Both resource plugins' scores, see [`super::score::resources`].
    pub resources: i64,
}

/// Nodes of one kind, a bit each. None may be left of it.
#[derive(Clone, Debug)]
struct Group {
    kind: Kind,
    count: u32,
    bits: Vec<u64>,
    /// In the attempt under way: how many of it are looked at, and their score.
    found: u32,
    score: i64,
}

/// The node chosen, and how many nodes were looked at for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    pub node: u32,
    pub looked_at: u32,
}

/// See the module's page. Nodes are numbered by the caller from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Alike {
    groups: Vec<Group>,
    /// By node: its group.
    group_of: Vec<Option<u32>>,
    feasible: Vec<u64>,
    count: u32,
    /// Of spreading, by number of domains.
    weights: Vec<f64>,
}

/// Ranges of nodes, looked at one after the other.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: (u32, u32),
    second: (u32, u32),
}

impl Alike {
    /// Nodes that fit.
    pub fn count(&self) -> u32 {
        self.count
    }
    /// The node fits, being of this kind; `None`: it does not fit, or is not there.
    pub fn set(&mut self, node: u32, kind: Option<Kind>) {
        let (place, word, bit) = (node as usize, node as usize / 64, 1u64 << (node % 64));
        if place >= self.group_of.len() {
            self.group_of.resize(place + 1, None);
            self.feasible.resize(word + 1, 0);
        }
        let before = self.group_of[place];
        if before.map(|group| self.groups[group as usize].kind) == kind {
            return;
        }
        if let Some(group) = before {
            let group = &mut self.groups[group as usize];
            group.count -= 1;
            group.bits[word] &= !bit;
            self.feasible[word] &= !bit;
            self.count -= 1;
        }
        self.group_of[place] = kind.map(|kind| {
            let number = self.group(kind);
            let group = &mut self.groups[number as usize];
            if group.bits.len() <= word {
                group.bits.resize(word + 1, 0);
            }
            group.count += 1;
            group.bits[word] |= bit;
            self.feasible[word] |= bit;
            self.count += 1;
            number
        });
    }

    /// The kind's group; one that nobody is left in becomes that of another kind.
    fn group(&mut self, kind: Kind) -> u32 {
        let known = self.groups.iter().position(|group| group.kind == kind);
        let place = known.or_else(|| self.groups.iter().position(|group| group.count == 0));
        match place {
            Some(place) => self.groups[place].kind = kind,
            None => self.groups.push(Group { kind, count: 0, bits: Vec::new(), found: 0, score: 0 }),
        }
        place.unwrap_or(self.groups.len() - 1) as u32
    }

    /// One of the best of up to `most` feasible nodes, beginning at `from` and going round; where there are no more of them
    /// all `nodes` are looked at. `in_zone`: the Deployment's pods by zone. `pick` is asked for a number below that of equal
    /// ones, if there are several.
    pub fn choose(
        &mut self,
        (from, most, nodes): (u32, u32, u32),
        in_zone: &[u32],
        pick: impl FnOnce(u64) -> u64,
    ) -> Option<Choice> {
        if self.count == 0 {
            return None;
        }
        let all = self.group_of.len() as u32;
        let (window, looked_at) = if self.count <= most {
            (Window { first: (0, all), second: (0, 0) }, nodes)
        } else {
            self.window(from % all, most)
        };
        self.count_found(window);
        let best = self.best(in_zone);
        let is_best = |group: &&Group| group.found > 0 && group.score == best;
        let ties: u64 = self.groups.iter().filter(is_best).map(|group| u64::from(group.found)).sum();
        let place = if ties == 1 { 0 } else { pick(ties) as u32 };
        let bits = |word: usize| {
            let of_word = |group: &Group| group.bits.get(word).copied().unwrap_or(0);
            self.groups.iter().filter(is_best).fold(0, |all, group| all | of_word(group))
        };
        let first = select(bits, window.first, place);
        let node = first.or_else(|below| select(bits, window.second, below));
        Some(Choice { node: node.expect("the pick is below the number of ties"), looked_at })
    }

    /// The span that holds `most` feasible nodes, and how many numbers are in it.
    fn window(&self, from: u32, most: u32) -> (Window, u32) {
        let all = self.group_of.len() as u32;
        let feasible = |word: usize| self.feasible[word];
        match select(feasible, (from, all), most - 1) {
            Ok(last) => (Window { first: (from, last + 1), second: (0, 0) }, last - from + 1),
            Err(left) => {
                let last =
                    select(feasible, (0, from), left).expect("there are more feasible nodes than asked for");
                (Window { first: (from, all), second: (0, last + 1) }, last + all - from + 1)
            }
        }
    }

    /// Counts what of each group is within the window.
    fn count_found(&mut self, window: Window) {
        let whole = window.first == (0, self.group_of.len() as u32);
        for group in &mut self.groups {
            group.found = if whole || group.count == 0 {
                group.count
            } else {
                count(&group.bits, window.first) + count(&group.bits, window.second)
            };
        }
    }

    /// Scores the groups of which any was found: the highest score.
    fn best(&mut self, in_zone: &[u32]) -> i64 {
        let found = || self.groups.iter().filter(|group| group.found > 0);
        let candidates = found().map(|group| group.found).sum::<u32>() as usize;
        let zones = found().fold(0u64, |zones, group| zones | 1 << group.kind.zone).count_ones() as usize;
        let (host, zone) = (self.weight(candidates), self.weight(zones));
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for group in self.groups.iter_mut().filter(|group| group.found > 0) {
            let (pods, in_zone) = (group.kind.pods, in_zone[group.kind.zone as usize]);
            group.score = spread::default_raw((pods, host), (in_zone, zone));
            (least, most) = (least.min(group.score), most.max(group.score));
        }
        let mut best = i64::MIN;
        for group in self.groups.iter_mut().filter(|group| group.found > 0) {
            group.score = 2 * spread::normalised(group.score, least, most) + group.kind.resources;
            best = best.max(group.score);
        }
        best
    }

    fn weight(&mut self, domains: usize) -> f64 {
        for known in self.weights.len()..=domains {
            self.weights.push(spread::weight(known));
        }
        self.weights[domains]
    }
}

/// The bits of a word that lie within a range of all bits.
fn mask(word: usize, (from, to): (u32, u32)) -> u64 {
    let start = word as u32 * 64;
    let below = |end: u32| match end.saturating_sub(start) {
        0 => 0,
        bits @ 1..64 => (1u64 << bits) - 1,
        _ => u64::MAX,
    };
    below(to) & !below(from)
}

fn words((from, to): (u32, u32)) -> Range<usize> {
    from as usize / 64..to.div_ceil(64) as usize
}

/// How many bits are set within the range.
fn count(bits: &[u64], range: (u32, u32)) -> u32 {
    let within = words(range).start.min(bits.len())..words(range).end.min(bits.len());
    within.map(|word| (bits[word] & mask(word, range)).count_ones()).sum()
}

/// The `place`-th bit that is set within the range; else how many places are left behind it.
fn select(bits: impl Fn(usize) -> u64, range: (u32, u32), mut place: u32) -> Result<u32, u32> {
    for word in words(range) {
        let mut bits = bits(word) & mask(word, range);
        if place >= bits.count_ones() {
            place -= bits.count_ones();
            continue;
        }
        (0..place).for_each(|_| bits &= bits - 1);
        return Ok(word as u32 * 64 + bits.trailing_zeros());
    }
    Err(place)
}

#[cfg(test)]
mod tests;
