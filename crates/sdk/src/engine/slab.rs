/// Values under ids that are never used twice: a late id finds nothing instead of another value.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
    /// Generation of slots made from now on: above all that were given up when the memory was returned.
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0, generation: 0 }
    }
}

/// Slots kept when a slab runs empty.
const KEPT_SLOTS: usize = 4096;

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> u64 {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return id(slot.generation, index);
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: self.generation, value: Some(value) });
        id(self.generation, index)
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        let slot = self.slots.get(id as u32 as usize)?;
        if slot.generation == (id >> 32) as u32 { slot.value.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(id as u32 as usize)?;
        if slot.generation == (id >> 32) as u32 { slot.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        let index = id as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != (id >> 32) as u32 {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.generation = self.generation.max(slot.generation);
        self.free.push(index);
        self.len -= 1;
        if self.len == 0 && self.slots.len() > KEPT_SLOTS {
            *self = Self { generation: self.generation, ..Self::default() };
        }
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            slot.value.as_ref().map(|value| (id(slot.generation, index as u32), value))
        })
    }
}

const fn id(generation: u32, index: u32) -> u64 {
    (generation as u64) << 32 | index as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_id_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"b"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn ids_stay_unique_when_memory_is_returned() {
        let mut slab = Slab::default();
        let ids: Vec<u64> = (0..KEPT_SLOTS + 1).map(|value| slab.insert(value)).collect();
        for id in &ids {
            slab.remove(*id);
        }
        let fresh = slab.insert(0);
        assert!(!ids.contains(&fresh));
        assert!(ids.iter().all(|id| slab.get(*id).is_none()));
    }
}
