//! What can go wrong with a heap's pages, in words that say what to do about it.

use std::fmt;

use crate::os::SourceError;

/// There are no pages for this request. The heap is as it was and can be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The request would go beyond the heap's limit.
    Limit {
        /// What was asked for.
        asked_bytes: usize,
        /// What was in use at that moment.
        in_use_bytes: usize,
        /// The limit at that moment.
        limit_bytes: usize,
    },
    /// The heap's range has no run that is long enough.
    Range {
        /// What was asked for.
        asked_bytes: usize,
        /// What was in use at that moment.
        in_use_bytes: usize,
        /// The length of the range.
        reserved_bytes: usize,
    },
    /// The source had no memory for pages that are free.
    Source(SourceError),
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exhausted::Limit {
                asked_bytes,
                in_use_bytes,
                limit_bytes,
            } => write!(
                f,
                "{asked_bytes} more bytes would go beyond the heap's limit of {limit_bytes}, \
                 {in_use_bytes} are in use: collect or free memory, or raise the limit"
            ),
            Exhausted::Range {
                asked_bytes,
                in_use_bytes,
                reserved_bytes,
            } => write!(
                f,
                "no {asked_bytes} neighboring bytes are free in the heap's range of \
                 {reserved_bytes}, {in_use_bytes} are in use: collect or free memory, or reserve \
                 a larger range when the heap is built"
            ),
            Exhausted::Source(error) => write!(
                f,
                "the heap has room, but the system has no memory for it ({error}): release \
                 memory elsewhere, or raise the limit of the process or of its group"
            ),
        }
    }
}

impl std::error::Error for Exhausted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Exhausted::Source(error) => Some(error),
            Exhausted::Limit { .. } | Exhausted::Range { .. } => None,
        }
    }
}

/// The range of a heap could not be reserved, not even the smallest that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveError {
    heap_bytes: usize,
    metadata_bytes: usize,
    cause: SourceError,
}

impl ReserveError {
    pub(crate) const fn new(heap_bytes: usize, metadata_bytes: usize, cause: SourceError) -> Self {
        ReserveError {
            heap_bytes,
            metadata_bytes,
            cause,
        }
    }

    /// The last, and smallest, heap that was tried.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// What the source said to it.
    #[must_use]
    pub const fn cause(&self) -> &SourceError {
        &self.cause
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no addresses for a heap of {} bytes, the smallest allowed, and {} of metadata ({}): \
             allow a smaller one, or raise the process's limit of address space or data",
            self.heap_bytes, self.metadata_bytes, self.cause
        )
    }
}

impl std::error::Error for ReserveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
