//! The changes of what the server knows, as names: the same change of the same job is worked out once.

use api::runner::presence::Whose;

use super::world::{Message, Reply};
use crate::agent::NonceAge;
use crate::deadline::Due;

/// All that a change of what the server knows depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Serve {
        message: Message,
        stored: bool,
    },
    Heartbeat {
        attempt: u8,
        from: u8,
    },
    Hear {
        agent: u8,
        incarnation: u8,
        copied: bool,
    },
    Ask {
        agent: u8,
        nonce: u8,
    },
    Answered {
        agent: u8,
        reply: Reply,
    },
    Reclaim {
        agent: u8,
        incarnation: u8,
        attempt: u8,
    },
    Search {
        agent: u8,
        incarnation: u8,
        new: bool,
    },
    Adopt {
        agent: u8,
        incarnation: u8,
        attempt: u8,
        held_by: (u8, u8),
        present: bool,
    },
    Presence {
        agent: u8,
        incarnation: u8,
        attempt: u8,
    },
    EndPresence {
        agent: u8,
    },
    EndLease,
    Expire(Due),
    Cancel,
    Forget {
        spoken_of: u8,
    },
    ForgetAnswer {
        agent: u8,
    },
    RenameNonces {
        agent: u8,
        by: u8,
    },
}

/// What came of such a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    None,
    Reply(Reply),
    Again(u8),
    Search(NonceAge),
    Standing(Whose, bool),
}

impl Answer {
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Reply(reply) => reply,
            other => unreachable!("{other:?} is no reply"),
        }
    }
}
