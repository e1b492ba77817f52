//! One subnet's addresses: single ones and aligned /28 blocks, all or nothing.
//!
//! EC2 reserves the first four addresses and the last one. Which single address it hands out is not
//! published and taken as uniform over the free ones, which is what scatters them over the blocks; a
//! prefix is a uniformly chosen wholly free block, of a reservation for prefixes as long as that has any. Addresses of an
//! explicit reservation are never handed out: to the books they are taken.

/// An address, as its offset in the subnet.
pub type Offset = u32;

/// Why a request is refused as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dry {
    /// `InsufficientFreeAddressesInSubnet`
    Addresses,
    /// `InsufficientCidrBlocks`: no aligned, wholly free /28 is left, whatever single addresses are.
    Blocks,
}

/// The books of one subnet; see the module's page.
#[derive(Clone, Debug)]
pub struct Subnet {
    size: u32,
    free: u32,
    least_free: u32,
    /// Where each address is; `None` where no run ever asks for prefixes and counts suffice.
    map: Option<Map>,
}

/// Addresses by block of sixteen.
#[derive(Clone, Debug)]
struct Map {
    /// A bit an address, set if it is taken.
    taken: Vec<u16>,
    /// Fenwick tree of free addresses by block.
    tree: Vec<u32>,
    /// Free blocks of the reservation for prefixes, which begins at `reserved_from`; none of their addresses is handed
    /// out by itself.
    reserved: Vec<u32>,
    reserved_from: u32,
    /// Wholly free blocks, in no order, and where each block stands in there.
    whole: Vec<u32>,
    place: Vec<u32>,
    /// The least that [`Subnet::free_blocks`] ever was.
    least_blocks: u32,
}

const NOWHERE: u32 = u32::MAX;
const BLOCK: u32 = 16;

impl Subnet {
    /// An empty subnet of this prefix length. Without `prefixes` its addresses are counted, not placed.
    ///
    /// # Panics
    /// If the length is not one that EC2 allows, 16 to 28.
    pub fn new(prefix_length: u8, prefixes: bool) -> Subnet {
        assert!((16..=28).contains(&prefix_length), "EC2 has no subnets of /{prefix_length}");
        let size = 1u32 << (32 - prefix_length);
        let mut subnet = Subnet { size, free: size, least_free: size, map: None };
        if prefixes {
            let mut map = Map::new(size / BLOCK);
            (0..4).chain([size - 1]).for_each(|reserved| map.take(reserved));
            map.least_blocks = map.whole.len() as u32;
            subnet.map = Some(map);
        }
        subnet.free -= 5;
        subnet.least_free = subnet.free;
        subnet
    }

    /// Reserves `blocks` /28 blocks at the upper end for prefixes.
    ///
    /// # Panics
    /// If the subnet only counts, has not so many, or if addresses there are taken already.
    pub fn reserve_for_prefixes(&mut self, blocks: u32) {
        let map = self.map.as_mut().expect("prefixes are reserved in a subnet that places its addresses");
        let end = map.taken.len() as u32 - 1;
        map.reserved_from = end.checked_sub(blocks).expect("the subnet has so many blocks");
        for block in map.reserved_from..end {
            (block * BLOCK..(block + 1) * BLOCK).for_each(|offset| map.take(offset));
            map.reserved.push(block);
        }
    }

    /// Makes an empty or used subnet that only counts larger by so many addresses, as if it had always been so large.
    ///
    /// # Panics
    /// If it places its addresses.
    pub fn enlarge(&mut self, addresses: u32) {
        assert!(self.map.is_none(), "which addresses are free depends on how many there were");
        self.size += addresses;
        self.free += addresses;
        self.least_free += addresses;
    }

    /// Addresses that are nobody's, those reserved for prefixes included.
    pub fn free(&self) -> u32 {
        self.free
    }
    /// Addresses that can be handed out one by one.
    pub fn free_singles(&self) -> u32 {
        self.free - self.map.as_ref().map_or(0, |map| map.reserved.len() as u32 * BLOCK)
    }
    /// The least that [`Subnet::free`] ever was.
    pub fn least_free(&self) -> u32 {
        self.least_free
    }
    /// /28 blocks that can still be handed out; `None` where addresses are only counted.
    pub fn free_blocks(&self) -> Option<u32> {
        self.map.as_ref().map(|map| (map.whole.len() + map.reserved.len()) as u32)
    }
    /// The least that [`Subnet::free_blocks`] ever was.
    pub fn least_free_blocks(&self) -> Option<u32> {
        self.map.as_ref().map(|map| map.least_blocks)
    }
    /// Are addresses placed?
    pub fn places(&self) -> bool {
        self.map.is_some()
    }

    /// Takes `count` single addresses. Where addresses are placed they are appended to `taken`, chosen by
    /// `below`, which gives uniform integers below its argument.
    ///
    /// # Errors
    /// If fewer are free; then nothing is taken.
    pub fn take_singles(
        &mut self,
        count: u32,
        taken: &mut Vec<Offset>,
        below: &mut dyn FnMut(u64) -> u64,
    ) -> Result<(), Dry> {
        let singles = self.free_singles();
        if count > singles {
            return Err(Dry::Addresses);
        }
        if let Some(map) = &mut self.map {
            for left in (singles - count + 1..=singles).rev() {
                let offset = map.nth_free(below(u64::from(left)) as u32);
                map.take(offset);
                taken.push(offset);
            }
        }
        self.took(count);
        Ok(())
    }

    /// Takes `count` prefixes; the first address of each is appended to `taken`.
    ///
    /// # Errors
    /// If fewer blocks are wholly free; then nothing is taken.
    ///
    /// # Panics
    /// If the subnet only counts.
    pub fn take_prefixes(
        &mut self,
        count: u32,
        taken: &mut Vec<Offset>,
        below: &mut dyn FnMut(u64) -> u64,
    ) -> Result<(), Dry> {
        let map = self.map.as_mut().expect("prefixes are asked of a subnet that places its addresses");
        if count as usize > map.whole.len() + map.reserved.len() {
            return Err(Dry::Blocks);
        }
        for _ in 0..count {
            if !map.reserved.is_empty() {
                let block = map.reserved.swap_remove(below(map.reserved.len() as u64) as usize);
                taken.push(block * BLOCK);
                continue;
            }
            let block = map.whole[below(map.whole.len() as u64) as usize];
            (block * BLOCK..(block + 1) * BLOCK).for_each(|offset| map.take(offset));
            taken.push(block * BLOCK);
        }
        self.took(count * BLOCK);
        Ok(())
    }

    /// Gives back `count` single addresses; where addresses are placed, these ones.
    pub fn return_singles(&mut self, count: u32, offsets: &[Offset]) {
        if let Some(map) = &mut self.map {
            assert_eq!(count as usize, offsets.len(), "so many addresses come back as are named");
            offsets.iter().for_each(|offset| map.give_back(*offset));
        }
        self.came_back(count);
    }
    /// Gives back the prefixes that begin at these addresses.
    pub fn return_prefixes(&mut self, firsts: &[Offset]) {
        let map = self.map.as_mut().expect("prefixes come back to a subnet that places its addresses");
        for first in firsts {
            let block = first / BLOCK;
            if block >= map.reserved_from && block + 1 < map.taken.len() as u32 {
                map.reserved.push(block);
                continue;
            }
            (*first..first + BLOCK).for_each(|offset| map.give_back(offset));
        }
        self.came_back(firsts.len() as u32 * BLOCK);
    }

    fn took(&mut self, count: u32) {
        self.free -= count;
        self.least_free = self.least_free.min(self.free);
        if let Some(map) = &mut self.map {
            map.least_blocks = map.least_blocks.min((map.whole.len() + map.reserved.len()) as u32);
        }
    }
    fn came_back(&mut self, count: u32) {
        self.free += count;
        assert!(
            self.free <= self.size - 5,
            "{} of {} addresses are free: more came back than went",
            self.free,
            self.size
        );
    }
}

impl Map {
    fn new(blocks: u32) -> Map {
        // A Fenwick tree of equal counts: each node holds as many blocks as its lowest bit says.
        let tree = (0..=blocks).map(|node| (node & node.wrapping_neg()) * BLOCK).collect();
        let whole: Vec<u32> = (0..blocks).collect();
        let (reserved, reserved_from) = (Vec::new(), blocks);
        let (place, taken) = (whole.clone(), vec![0; blocks as usize]);
        Map { taken, tree, reserved, reserved_from, whole, place, least_blocks: blocks }
    }

    fn take(&mut self, offset: Offset) {
        let (block, bit) = (offset / BLOCK, 1u16 << (offset % BLOCK));
        let bits = &mut self.taken[block as usize];
        assert!(*bits & bit == 0, "address {offset} has an owner already");
        *bits |= bit;
        self.count(block, -1);
        let place = std::mem::replace(&mut self.place[block as usize], NOWHERE);
        if place != NOWHERE {
            self.whole.swap_remove(place as usize);
            if let Some(moved) = self.whole.get(place as usize) {
                self.place[*moved as usize] = place;
            }
        }
    }

    fn give_back(&mut self, offset: Offset) {
        let (block, bit) = (offset / BLOCK, 1u16 << (offset % BLOCK));
        let bits = &mut self.taken[block as usize];
        assert!(*bits & bit != 0, "address {offset} comes back that nobody has");
        *bits &= !bit;
        if *bits == 0 {
            self.place[block as usize] = self.whole.len() as u32;
            self.whole.push(block);
        }
        self.count(block, 1);
    }

    fn count(&mut self, block: u32, change: i32) {
        let mut node = block as usize + 1;
        while node < self.tree.len() {
            self.tree[node] = self.tree[node].wrapping_add_signed(change);
            node += node & node.wrapping_neg();
        }
    }

    /// The `rank`-th free address from below, from 0.
    fn nth_free(&self, mut rank: u32) -> Offset {
        let mut block = 0;
        let mut step = (self.tree.len() as u32 - 1).next_power_of_two();
        while step > 0 {
            let node = block + step;
            if (node as usize) < self.tree.len() && self.tree[node as usize] <= rank {
                rank -= self.tree[node as usize];
                block = node;
            }
            step /= 2;
        }
        let mut free = !self.taken[block as usize];
        for _ in 0..rank {
            free &= free - 1;
        }
        block * BLOCK + free.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chance::{Chance, Component};

    #[test]
    fn five_addresses_and_two_blocks_are_lost_to_the_reservation() {
        for (length, addresses, blocks) in
            [(28, 11, 0), (27, 27, 0), (24, 251, 14), (21, 2_043, 126), (16, 65_531, 4_094)]
        {
            let subnet = Subnet::new(length, true);
            assert_eq!((subnet.free(), subnet.free_blocks()), (addresses, Some(blocks)), "/{length}");
            assert_eq!(Subnet::new(length, false).free(), addresses, "/{length}");
        }
    }

    /// 200 single addresses in a /21 leave (N/16 - 2) x C(N-21, k)/C(N-5, k) blocks, about 24 of 126.
    #[test]
    fn scattered_addresses_leave_the_expected_blocks() {
        let (runs, used) = (400, 200);
        let mut sum = 0;
        for run in 0..runs {
            let chance = Chance::new(11, run);
            let mut draw = 0;
            let mut below = |bound| {
                draw += 1;
                chance.below(Component::Address, 0, draw, bound)
            };
            let mut subnet = Subnet::new(21, true);
            subnet.take_singles(used, &mut Vec::new(), &mut below).unwrap();
            sum += subnet.free_blocks().unwrap();
        }
        // A given block survives if all 200 fall among the N - 21 others of the N - 5 free addresses.
        let survives: f64 = (0..used).map(|k| f64::from(2_027 - k) / f64::from(2_043 - k)).product();
        let (mean, expected) = (f64::from(sum) / f64::from(runs), 126.0 * survives);
        assert!((mean - expected).abs() < 0.6, "mean {mean}, expected {expected}");
    }

    #[test]
    fn a_request_beyond_what_is_left_takes_nothing() {
        let mut subnet = Subnet::new(24, true);
        let mut none = Vec::new();
        assert_eq!(subnet.take_singles(252, &mut none, &mut |_| 0), Err(Dry::Addresses));
        assert_eq!(subnet.take_prefixes(15, &mut none, &mut |_| 0), Err(Dry::Blocks));
        assert!(none.is_empty());
        assert_eq!((subnet.free(), subnet.least_free(), subnet.free_blocks()), (251, 251, Some(14)));
        assert_eq!(subnet.least_free_blocks(), Some(14));
    }

    #[test]
    fn prefixes_come_from_their_reservation_first_and_single_addresses_never() {
        let mut subnet = Subnet::new(24, true);
        subnet.reserve_for_prefixes(3);
        assert_eq!((subnet.free(), subnet.free_singles(), subnet.free_blocks()), (251, 203, Some(14)));
        let mut blocks = Vec::new();
        subnet.take_prefixes(4, &mut blocks, &mut |_| 0).unwrap();
        assert_eq!(blocks.iter().filter(|first| **first >= 192).count(), 3);
        let mut singles = Vec::new();
        assert_eq!(subnet.take_singles(188, &mut singles, &mut |_| 0), Err(Dry::Addresses));
        subnet.take_singles(187, &mut singles, &mut |_| 0).unwrap();
        assert_eq!((subnet.free(), subnet.free_blocks()), (0, Some(0)));
        subnet.return_prefixes(&blocks);
        assert_eq!((subnet.free(), subnet.free_singles(), subnet.free_blocks()), (64, 16, Some(4)));
        assert_eq!(subnet.least_free_blocks(), Some(0));
    }

    proptest! {
        /// Any order of takes and returns: no address has two owners, counts agree with a plain list.
        #[test]
        fn books_agree_with_a_plain_list(steps in prop::collection::vec((0u8..4, 0u32..40, any::<u64>()), 1..80)) {
            let mut subnet = Subnet::new(24, true);
            let (mut singles, mut blocks): (Vec<u32>, Vec<u32>) = Default::default();
            for (kind, count, random) in steps {
                let mut below = |bound: u64| random % bound;
                match kind {
                    0 => { let _ = subnet.take_singles(count, &mut singles, &mut below); }
                    1 => { let _ = subnet.take_prefixes(count % 4, &mut blocks, &mut below); }
                    2 => {
                        let back = singles.split_off(singles.len().saturating_sub(count as usize));
                        subnet.return_singles(back.len() as u32, &back);
                    }
                    _ => {
                        let back = blocks.split_off(blocks.len().saturating_sub(count as usize % 4));
                        subnet.return_prefixes(&back);
                    }
                }
                let mut owned: Vec<u32> = (0..4).chain([255]).chain(singles.iter().copied()).collect();
                owned.extend(blocks.iter().flat_map(|first| *first..first + 16));
                owned.sort_unstable();
                let held = owned.len();
                owned.dedup();
                prop_assert_eq!(owned.len(), held, "an address has two owners");
                prop_assert_eq!(subnet.free() as usize, 256 - held);
                let whole = (0..16).filter(|block| owned.iter().all(|offset| offset / 16 != *block)).count();
                prop_assert_eq!(subnet.free_blocks(), Some(whole as u32));
            }
        }
    }
}
