/// Which of the open levels are objects: one bit a level, on the heap only beyond 64 levels.
#[derive(Default)]
pub(crate) struct Nesting {
    depth: usize,
    bits: u64,
    below: Vec<u64>,
}

impl Nesting {
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }

    #[inline]
    pub(crate) fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    /// Returns whether the innermost level is an object; `None` outside of all levels.
    #[inline]
    pub(crate) const fn top(&self) -> Option<bool> {
        if self.depth == 0 { None } else { Some(self.bits & 1 == 1) }
    }

    #[inline]
    pub(crate) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.below.pop().unwrap_or_default();
        }
    }
}
