//! Which messages of other programs this process has matched with an image.
//!
//! Owns the answer to "is this message recorded already?". A message has no identity, and several processes hear it,
//! perhaps much later than each other. But each hears every occurrence once: so the n-th message of the same content
//! that a process hears belongs to the n-th image of that content. The content is the user and the path.

use std::collections::{HashMap, VecDeque};

use crate::ids::{ImagePath, UserId};

/// How many contents are remembered.
const CAPACITY: usize = 65_536;

type Content = (UserId, ImagePath);

/// For each content, the image that its last message belongs to.
#[derive(Debug)]
pub(super) struct Occurrences {
    /// Images up to this one belong to messages of the past, which are not heard again.
    floor: i64,
    latest: HashMap<Content, i64>,
    /// In the order of their messages; may hold images that are not the latest of their content.
    matched: VecDeque<(Content, i64)>,
    capacity: usize,
}

impl Occurrences {
    /// Nothing heard yet. `newest` is the newest image of all, read before the subscription began: later images may
    /// belong to messages that are still to be heard.
    pub(super) fn after(newest: i64) -> Self {
        Self { floor: newest, latest: HashMap::new(), matched: VecDeque::new(), capacity: CAPACITY }
    }

    /// The next message of this content belongs to its first image after the returned one.
    pub(super) fn last(&self, user: UserId, path: &ImagePath) -> i64 {
        // Cloned only to look it up; paths are short.
        self.latest.get(&(user, path.clone())).copied().unwrap_or(self.floor).max(self.floor)
    }

    /// Remembers which image the message belongs to.
    pub(super) fn matched(&mut self, user: UserId, path: ImagePath, image: i64) {
        let content = (user, path);
        self.latest.insert(content.clone(), image);
        self.matched.push_back((content, image));
        if self.matched.len() > self.capacity
            && let Some((oldest, image)) = self.matched.pop_front()
        {
            // Messages arrive in the order in which their images are made, so that no earlier image is still waited
            // for.
            self.floor = self.floor.max(image);
            if self.latest.get(&oldest) == Some(&image) {
                self.latest.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn content(number: u8) -> (UserId, ImagePath) {
        (UserId::new(1).unwrap(), ImagePath::new(&format!("{number}.jpg")).unwrap())
    }

    /// Hears a message the way the intake does: images are the contents of their rows, the index plus one is the id.
    fn hear(process: &mut Occurrences, images: &mut Vec<u8>, message: u8) {
        let (user, path) = content(message);
        let last = usize::try_from(process.last(user, &path)).unwrap();
        let known = (last..images.len()).find(|at| images[*at] == message);
        let at = known.unwrap_or_else(|| {
            images.push(message);
            images.len() - 1
        });
        process.matched(user, path, i64::try_from(at + 1).unwrap());
    }

    fn counts(contents: &[u8]) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        contents.iter().for_each(|content| *counts.entry(*content).or_default() += 1);
        counts
    }

    #[test]
    fn only_the_newest_contents_are_remembered() {
        let mut process = Occurrences { capacity: 2, ..Occurrences::after(10) };
        for (number, image) in [(1, 11), (2, 12), (1, 13), (3, 14)] {
            let (user, path) = content(number);
            process.matched(user, path, image);
        }
        let last = |number| process.last(content(number).0, &content(number).1);
        assert_eq!([1, 2, 3].map(last), [13, 12, 14]);
        assert_eq!((process.latest.len(), process.matched.len()), (2, 2));
    }

    proptest! {
        #[test]
        fn each_message_becomes_one_image_however_far_processes_lag(
            messages in proptest::collection::vec(0_u8..3, 1..40),
            steps in proptest::collection::vec(0_usize..3, 0..120),
        ) {
            let (mut images, mut positions) = (Vec::new(), [0; 3]);
            let mut processes = [0; 3].map(|_| Occurrences::after(0));
            // The steps first, then whatever each process has not heard yet.
            let rest = (0..3).flat_map(|process| std::iter::repeat_n(process, messages.len()));
            for process in steps.into_iter().chain(rest) {
                if let Some(message) = messages.get(positions[process]) {
                    positions[process] += 1;
                    hear(&mut processes[process], &mut images, *message);
                }
            }
            prop_assert_eq!(counts(&images), counts(&messages));
        }

        #[test]
        fn a_message_that_any_process_hears_becomes_an_image(
            messages in proptest::collection::vec((0_u8..3, 1_u8..4), 1..40),
        ) {
            // Each message reaches a random part of two processes, at least one, the other process late.
            let (mut images, mut processes) = (Vec::new(), [0; 2].map(|_| Occurrences::after(0)));
            for (number, process) in processes.iter_mut().enumerate() {
                for (message, heard_by) in &messages {
                    if heard_by & (1 << number) != 0 {
                        hear(process, &mut images, *message);
                    }
                }
            }
            // A process that missed one message may take its image for that of the next one, which it did hear.
            let heard = |process: u8| {
                let heard = messages.iter().filter(|(_, heard_by)| heard_by & (1 << process) != 0);
                counts(&heard.map(|(message, _)| *message).collect::<Vec<_>>())
            };
            for (message, count) in counts(&images) {
                let most = (0..2).map(|process| heard(process).get(&message).copied().unwrap_or(0)).max();
                prop_assert_eq!(Some(count), most);
            }
        }
    }
}
