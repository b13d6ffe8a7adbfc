//! Where the entries of one segment lie: the seam between the table's order and its entries' bytes.
//!
//! A segment keeps hashes and [`Place`]s; a heap keeps what is found there. Names are boxes
//! ([`super::boxed`]); pairs are packed bytes ([`super::packed`]). A heap knows no hash and no order.

/// Where an entry lies in its heap.
pub(super) type Place = u16;

/// No entry ever lies here.
pub(super) const NOWHERE: Place = Place::MAX;

/// The entries of one segment.
pub(super) trait Heap: Default + Clone + std::fmt::Debug {
    /// How an entry is shown.
    type Ref<'h>
    where
        Self: 'h;
    /// What is put in.
    type New<'n>;
    /// What is left of an entry that was taken out.
    type Taken;

    fn get(&self, place: Place) -> Self::Ref<'_>;

    /// Fetches an entry, or what leads to it.
    fn prefetch(&self, place: Place);

    /// The bytes an entry is found by.
    fn key(&self, place: Place) -> &[u8];

    /// The entry, if it is found by this key.
    fn get_if(&self, place: Place, key: &[u8]) -> Option<Self::Ref<'_>>;

    /// The earliest unix time in ms at which something in the entry expires, or
    /// [`super::table::NEVER`].
    fn deadline_ms(&self, place: Place) -> u64;

    /// When a new entry expires.
    fn new_deadline_ms(entry: &Self::New<'_>) -> u64;

    /// Adds an entry; hands it back when there is no room.
    fn put<'n>(&mut self, entry: Self::New<'n>) -> Result<Place, Self::New<'n>>;

    fn take(&mut self, place: Place) -> Self::Taken;

    /// Moves an entry to a heap that holds nothing but entries of this one and of its buddy. `None`
    /// if it has no room; then nothing moved.
    fn transfer(&mut self, place: Place, to: &mut Self) -> Option<Place>;

    /// Bytes of memory it takes, room to grow included.
    fn bytes(&self) -> usize;

    /// Whether so much of it is holes that moving all entries to a new heap pays.
    fn is_sparse(&self) -> bool;

    /// Whether entries of both fit into one.
    fn fits_with(&self, other: &Self) -> bool;
}
