//! Rate limits of the HTTP door: so many requests a second, and a burst of them, for each address and for
//! each token.
//!
//! A caller is remembered as one number, the time at which all it did so far would have been due. Callers
//! are remembered in two generations, so the table is bounded: when many new ones come, those that were
//! not seen for longest are forgotten, and begin anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use parking_lot::Mutex;

/// Callers remembered in each generation.
const CALLERS_MAX: usize = 32_768;
const SECOND_US: u64 = 1_000_000;

/// How much one caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second; 0: any number.
    pub per_second: u64,
    /// Requests at once, after a pause; 0: as many as in a second.
    pub burst: u64,
}

/// Who is limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// An address; of IPv6 its network, of which one host has all addresses.
    Address(IpAddr),
    /// A token, by its id.
    Token(String),
}

/// What callers have done lately.
#[derive(Debug, Default)]
pub struct RateLimits(Mutex<Generations<Caller>>);

#[derive(Debug)]
struct Generations<K> {
    /// When everything was due, in µs.
    due_us: HashMap<K, u64>,
    older: HashMap<K, u64>,
}

impl Caller {
    /// The caller at this address.
    pub fn at(address: IpAddr) -> Caller {
        const NETWORK: u128 = !0 << 64;
        Caller::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & NETWORK).into()),
            v4 => v4,
        })
    }
}

impl RateLimits {
    /// Counts a request.
    ///
    /// # Errors
    /// If it is one too many: in how many seconds the next may come. It is not counted then.
    pub fn take(&self, caller: &Caller, limit: RateLimit, now_us: u64) -> Result<(), u64> {
        if limit.per_second == 0 {
            return Ok(());
        }
        let each_us = (SECOND_US / limit.per_second).max(1);
        let burst = if limit.burst == 0 { limit.per_second } else { limit.burst };
        let ahead_us = each_us.saturating_mul(burst.saturating_sub(1));
        let mut generations = self.0.lock();
        let due_us = generations.get(caller).unwrap_or(0).max(now_us);
        let early_us = (due_us - now_us).saturating_sub(ahead_us);
        if early_us > 0 {
            return Err(early_us.div_ceil(SECOND_US));
        }
        generations.put(caller, due_us + each_us);
        Ok(())
    }
}

impl<K> Default for Generations<K> {
    fn default() -> Generations<K> {
        Generations { due_us: HashMap::new(), older: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Generations<K> {
    fn get(&self, caller: &K) -> Option<u64> {
        self.due_us.get(caller).or_else(|| self.older.get(caller)).copied()
    }

    fn put(&mut self, caller: &K, due_us: u64) {
        if let Some(known) = self.due_us.get_mut(caller) {
            *known = due_us;
            return;
        }
        if self.due_us.len() == CALLERS_MAX {
            self.older = std::mem::take(&mut self.due_us);
        }
        self.due_us.insert(caller.clone(), due_us);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LIMIT: RateLimit = RateLimit { per_second: 10, burst: 3 };

    fn caller(number: u32) -> Caller {
        Caller::at(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let limits = RateLimits::default();
        let mut now_us = 5 * SECOND_US;
        for _ in 0..3 {
            assert_eq!(limits.take(&caller(1), LIMIT, now_us), Ok(()));
        }
        assert_eq!(limits.take(&caller(1), LIMIT, now_us), Err(1));
        assert_eq!(limits.take(&caller(2), LIMIT, now_us), Ok(()), "others do not notice");
        for _ in 0..20 {
            now_us += 100_000;
            assert_eq!(limits.take(&caller(1), LIMIT, now_us), Ok(()));
            assert_eq!(limits.take(&caller(1), LIMIT, now_us), Err(1), "refusals cost nothing");
        }
        now_us += 10 * SECOND_US;
        let taken = (0..10).filter(|_| limits.take(&caller(1), LIMIT, now_us).is_ok()).count();
        assert_eq!(taken, 3, "a long pause gives no more than a burst");
    }

    #[test]
    fn no_burst_is_a_second_of_requests_and_no_rate_is_no_limit() {
        let limits = RateLimits::default();
        let taken = |limit| (0..100).filter(|_| limits.take(&caller(3), limit, 7).is_ok()).count();
        assert_eq!(taken(RateLimit { per_second: 20, burst: 0 }), 20);
        assert_eq!(taken(RateLimit { per_second: 0, burst: 5 }), 100);
    }

    #[test]
    fn addresses_are_networks_and_their_number_is_bounded() {
        let v6 = |text: &str| Caller::at(text.parse::<IpAddr>().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), v6("10.0.0.1"));
        let limits = RateLimits::default();
        for number in 0..3 * CALLERS_MAX as u32 {
            assert_eq!(limits.take(&caller(number), LIMIT, 1), Ok(()));
        }
        let generations = limits.0.lock();
        assert!(generations.due_us.len() + generations.older.len() <= 2 * CALLERS_MAX);
    }
}
