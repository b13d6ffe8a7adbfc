//! Names for those that are no commands: import and export. They take one stripe at a time, for as long as one look or
//! edit takes.

use super::view::{Known, View};
use super::{Access, CURSOR_BITS, Held, Hold, STRIPE_BITS, Store};
use crate::journal::Lsn;
use crate::journal::effect::Effects;

impl Store {
    /// Shows the names of one stripe in one database; other names must not be asked for.
    pub fn look_at<R>(&self, stripe: usize, db: usize, look: impl FnOnce(&View<'_>) -> R) -> R {
        let mut held = Held::new(self);
        held.lock_number(stripe, Hold::Shared);
        self.with_view(held, db, |view| look(view)).0
    }

    /// Shows one name of one database, to be changed. Also tells the LSN of the changes, 0 if there
    /// were none.
    pub fn edit<R>(
        &self,
        db: usize,
        name: &[u8],
        edit: impl FnOnce(&mut View<'_>) -> R,
    ) -> (R, Lsn) {
        let mut held = Held::new(self);
        held.lock(self.name(name), Hold::Alone);
        self.with_view(held, db, edit)
    }

    /// Where [`View::scan`] begins with the names of a stripe.
    pub fn first_cursor(&self, stripe: usize) -> u64 {
        (stripe as u64) << (CURSOR_BITS - u32::from(STRIPE_BITS))
    }

    fn with_view<R>(
        &self,
        mut held: Held<'_>,
        db: usize,
        run: impl FnOnce(&mut View<'_>) -> R,
    ) -> (R, Lsn) {
        let now_ms = held.settle_now_ms(self.clock.now_ms());
        let mut effects = Effects::default();
        effects.notes.begin(self.events.is_heard());
        let access = Access::of(db, now_ms);
        let mut view = View::live(&mut held, &mut effects, access, Known::default());
        let result = run(&mut view);
        (result, held.release(&mut effects).wrote)
    }
}
