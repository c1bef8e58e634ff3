//! What the rules said before: most states differ only in the parties, so the same job meets the same call again
//! and again. And lists without memory of their own, so that a step costs little.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Deref;
use std::rc::Rc;

/// A value that is the same as another one exactly if its number is.
#[derive(Clone)]
pub(super) struct Remembered<T, Operation, Answer> {
    pub(super) id: u32,
    value: Rc<T>,
    memory: Rc<RefCell<Memory<T, Operation, Answer>>>,
}

struct Memory<T, Operation, Answer> {
    ids: HashMap<String, u32>,
    values: Vec<Rc<T>>,
    answers: HashMap<(u32, Operation), (u32, Answer)>,
}

impl<T, Operation, Answer> Remembered<T, Operation, Answer>
where
    T: Clone + Debug,
    Operation: Copy + Eq + Hash,
    Answer: Copy,
{
    pub(super) fn new(value: T) -> Self {
        let value = Rc::new(value);
        let ids = HashMap::from([(format!("{value:?}"), 0)]);
        let memory = Memory {
            ids,
            values: vec![value.clone()],
            answers: HashMap::new(),
        };
        Self {
            id: 0,
            value,
            memory: Rc::new(RefCell::new(memory)),
        }
    }

    /// Changes the value. `operation` must say all that `run` depends on.
    pub(super) fn change(&mut self, operation: Operation, run: impl FnOnce(&mut T) -> Answer) -> Answer {
        let memory = &mut *self.memory.borrow_mut();
        if let Some(&(id, answer)) = memory.answers.get(&(self.id, operation)) {
            self.id = id;
            self.value = memory.values[usize::try_from(id).unwrap()].clone();
            return answer;
        }
        let mut value = (*self.value).clone();
        let answer = run(&mut value);
        let new_id = u32::try_from(memory.values.len()).unwrap();
        let id = *memory.ids.entry(format!("{value:?}")).or_insert(new_id);
        if id == new_id {
            memory.values.push(Rc::new(value));
        }
        memory.answers.insert((self.id, operation), (id, answer));
        self.id = id;
        self.value = memory.values[usize::try_from(id).unwrap()].clone();
        answer
    }
}

impl<T, Operation, Answer> Deref for Remembered<T, Operation, Answer> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A short list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct List<T, const LONGEST: usize> {
    items: [Option<T>; LONGEST],
}

impl<T: Copy + PartialEq, const LONGEST: usize> List<T, LONGEST> {
    pub(super) const fn new() -> Self {
        Self {
            items: [None; LONGEST],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.iter().position(Option::is_none).unwrap_or(LONGEST)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items[0].is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map_while(Option::as_ref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().map_while(Option::as_mut)
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index).and_then(Option::as_ref)
    }

    pub(super) fn contains(&self, item: &T) -> bool {
        self.iter().any(|other| other == item)
    }

    /// Puts an item where `before` says it belongs.
    pub(super) fn insert_sorted(&mut self, item: T, before: impl Fn(&T) -> bool) {
        let at = self
            .iter()
            .position(|other| !before(other))
            .unwrap_or_else(|| self.len());
        assert!(
            self.items[LONGEST - 1].is_none(),
            "the list is too short for this world"
        );
        self.items[at..].rotate_right(1);
        self.items[at] = Some(item);
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.items[index] = None;
        self.items[index..].rotate_left(1);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for index in (0..self.len()).rev() {
            if self.items[index].as_ref().is_some_and(|item| !keep(item)) {
                self.remove(index);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) fn sort(&mut self)
    where
        T: Ord,
    {
        let len = self.len();
        self.items[..len].sort_unstable();
    }
}

impl<T, const LONGEST: usize> std::ops::Index<usize> for List<T, LONGEST> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        self.items[index].as_ref().expect("the index is in the list")
    }
}

impl<T, const LONGEST: usize> std::ops::IndexMut<usize> for List<T, LONGEST> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.items[index].as_mut().expect("the index is in the list")
    }
}
