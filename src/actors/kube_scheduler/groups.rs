//! Nodes in groups of equals, as sets of bits; and the part of them that an attempt looks at: so many from where the last one
//! ended, going round.

use std::ops::Range;

/// Nodes of one kind.
#[derive(Clone, Debug)]
pub struct Group<K> {
    pub kind: K,
    /// How many there are; none may be left.
    pub count: u32,
    bits: Vec<u64>,
}

impl<K> Group<K> {
    /// Its nodes with numbers from 64 times `word` on.
    pub fn word(&self, word: usize) -> u64 {
        self.bits.get(word).copied().unwrap_or(0)
    }
    /// The first of its nodes, if any is left.
    pub fn first(&self) -> Option<u32> {
        select(&|word| self.word(word), (0, self.bits.len() as u32 * 64), 0).ok()
    }
}

/// See the module's page. Nodes are numbered by the caller from 0 on; each is in one group, or in none.
#[derive(Clone, Debug)]
pub struct Groups<K> {
    groups: Vec<Group<K>>,
    group_of: Vec<Option<u32>>,
    /// Those in any group.
    bits: Vec<u64>,
    count: u32,
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Groups { groups: Vec::new(), group_of: Vec::new(), bits: Vec::new(), count: 0 }
    }
}

impl<K: PartialEq> Groups<K> {
    /// Nodes in any group.
    pub fn count(&self) -> u32 {
        self.count
    }
    /// All numbers that a node may have lie below.
    pub fn numbers(&self) -> u32 {
        self.group_of.len() as u32
    }
    /// The nodes in any group with numbers from 64 times `word` on.
    pub fn word(&self, word: usize) -> u64 {
        self.bits[word]
    }
    /// The node's kind; `None`: it is in no group.
    pub fn kind(&self, node: u32) -> Option<&K> {
        let group = self.group_of.get(node as usize).copied().flatten()?;
        Some(&self.groups[group as usize].kind)
    }
    /// All groups, those that nobody is left in too.
    pub fn groups(&self) -> &[Group<K>] {
        &self.groups
    }

    /// Puts the node into the group of its kind; `None`: into none.
    pub fn set(&mut self, node: u32, kind: Option<K>) {
        let place = node as usize;
        if place >= self.group_of.len() {
            self.group_of.resize(place + 1, None);
            set(&mut self.bits, node, false);
        }
        let before = self.group_of[place];
        if before.map(|group| &self.groups[group as usize].kind) == kind.as_ref() {
            return;
        }
        if let Some(group) = before {
            let group = &mut self.groups[group as usize];
            group.count -= 1;
            set(&mut group.bits, node, false);
        }
        self.count = self.count + u32::from(kind.is_some()) - u32::from(before.is_some());
        set(&mut self.bits, node, kind.is_some());
        self.group_of[place] = kind.map(|kind| {
            let number = self.group(kind);
            let group = &mut self.groups[number as usize];
            group.count += 1;
            set(&mut group.bits, node, true);
            number
        });
    }

    /// The kind's group; one that nobody is left in becomes that of another kind.
    fn group(&mut self, kind: K) -> u32 {
        let known = self.groups.iter().position(|group| group.kind == kind);
        let place = known.or_else(|| self.groups.iter().position(|group| group.count == 0));
        match place {
            Some(place) => self.groups[place].kind = kind,
            None => self.groups.push(Group { kind, count: 0, bits: Vec::new() }),
        }
        place.unwrap_or(self.groups.len() - 1) as u32
    }
}

/// Nodes in the order in which they are looked at: those of the first range, then those of the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    first: (u32, u32),
    second: (u32, u32),
}

impl Window {
    /// All numbers below `all`, from the first on.
    pub fn whole(all: u32) -> Window {
        Window { first: (0, all), second: (0, 0) }
    }

    /// The window from `from` on, round all numbers below `all`, that holds `most` of a set that has more of them, and how many
    /// numbers are in it. `bits` gives the set's words.
    pub fn holding(most: u32, from: u32, all: u32, bits: impl Fn(usize) -> u64) -> (Window, u32) {
        match select(&bits, (from, all), most - 1) {
            Ok(last) => (Window { first: (from, last + 1), second: (0, 0) }, last - from + 1),
            Err(left) => {
                let last = select(&bits, (0, from), left).expect("the set has more than are looked for");
                (Window { first: (from, all), second: (0, last + 1) }, last + all - from + 1)
            }
        }
    }

    /// How many of a group are within.
    pub fn count<K>(self, group: &Group<K>) -> u32 {
        count(&group.bits, self.first) + count(&group.bits, self.second)
    }
    /// The `place`-th of a set within; else how many places are left.
    pub fn select(self, bits: impl Fn(usize) -> u64, place: u32) -> Result<u32, u32> {
        select(&bits, self.first, place).or_else(|left| select(&bits, self.second, left))
    }
    /// All of a set within, in their order.
    pub fn nodes(self, bits: impl Fn(usize) -> u64 + Copy) -> impl Iterator<Item = u32> {
        let of = move |range: (u32, u32)| {
            words(range).flat_map(move |word| ones(word, bits(word) & mask(word, range)))
        };
        of(self.first).chain(of(self.second))
    }
}

fn set(bits: &mut Vec<u64>, node: u32, is_in: bool) {
    let (word, bit) = (node as usize / 64, 1u64 << (node % 64));
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    bits[word] = if is_in { bits[word] | bit } else { bits[word] & !bit };
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
fn select(bits: &impl Fn(usize) -> u64, range: (u32, u32), mut place: u32) -> Result<u32, u32> {
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

/// The nodes of one word.
fn ones(word: usize, mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let node = (bits != 0).then(|| word as u32 * 64 + bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        node
    })
}
