//! Deduplication of messages of other programs.
//!
//! A message has no id, and several processes receive it, possibly at very different times. But each process receives
//! every occurrence once, so that the n-th message with the same content belongs to the n-th image with that content.
//! The content is the user and the path.

use std::collections::{HashMap, VecDeque};

use crate::ids::{ImagePath, UserId};

/// The number of contents that are kept.
const CAPACITY: usize = 65_536;

type Content = (UserId, ImagePath);

/// The image of the last message, by content.
#[derive(Debug)]
pub(super) struct Occurrences {
    /// Images up to this one belong to past messages, which are not received again.
    floor: i64,
    latest: HashMap<Content, i64>,
    /// In the order of their messages; may include images that are not the latest of their content.
    matched: VecDeque<(Content, i64)>,
    capacity: usize,
}

impl Occurrences {
    /// `newest` is the newest image, read before the subscription: later images may belong to messages that are still
    /// to be received.
    pub(super) fn after(newest: i64) -> Self {
        Self { floor: newest, latest: HashMap::new(), matched: VecDeque::new(), capacity: CAPACITY }
    }

    /// The next message with this content belongs to the first image with this content after the returned one.
    pub(super) fn last(&self, user: UserId, path: &ImagePath) -> i64 {
        // The clone is for the lookup only; paths are short.
        self.latest.get(&(user, path.clone())).copied().unwrap_or(self.floor).max(self.floor)
    }

    /// Records the image of a message.
    pub(super) fn matched(&mut self, user: UserId, path: ImagePath, image: i64) {
        let content = (user, path);
        self.latest.insert(content.clone(), image);
        self.matched.push_back((content, image));
        if self.matched.len() > self.capacity
            && let Some((oldest, image)) = self.matched.pop_front()
        {
            // Messages arrive in the order of their images, so that earlier images have been matched.
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

    /// Handles a message like the intake. `images` are the contents of the rows; the id is the index plus one.
    fn receive(process: &mut Occurrences, images: &mut Vec<u8>, message: u8) {
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
    fn only_the_newest_contents_are_kept() {
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
            // The steps first, then the remaining messages of each process.
            let rest = (0..3).flat_map(|process| std::iter::repeat_n(process, messages.len()));
            for process in steps.into_iter().chain(rest) {
                if let Some(message) = messages.get(positions[process]) {
                    positions[process] += 1;
                    receive(&mut processes[process], &mut images, *message);
                }
            }
            prop_assert_eq!(counts(&images), counts(&messages));
        }

        #[test]
        fn a_message_that_any_process_receives_becomes_an_image(
            messages in proptest::collection::vec((0_u8..3, 1_u8..4), 1..40),
        ) {
            // Each message reaches one or both of two processes, the second one late.
            let (mut images, mut processes) = (Vec::new(), [0; 2].map(|_| Occurrences::after(0)));
            for (number, process) in processes.iter_mut().enumerate() {
                for (message, received_by) in &messages {
                    if received_by & (1 << number) != 0 {
                        receive(process, &mut images, *message);
                    }
                }
            }
            // A process that missed a message may match its image with the next message that it receives.
            let received = |process: u8| {
                let received = messages.iter().filter(|(_, received_by)| received_by & (1 << process) != 0);
                counts(&received.map(|(message, _)| *message).collect::<Vec<_>>())
            };
            for (message, count) in counts(&images) {
                let most = (0..2).map(|process| received(process).get(&message).copied().unwrap_or(0)).max();
                prop_assert_eq!(Some(count), most);
            }
        }
    }
}
