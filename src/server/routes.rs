//! What one worker counts of HTTP requests, by the route that they took. Routes are those of the tables of
//! both APIs, never what a client sent, so their number is bounded.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::histogram::{Histogram, Times};

/// Method and path of a route as they stand in its table.
pub type Route = (&'static str, &'static str);

/// Where requests went that no route fits.
pub const NO_ROUTE: Route = ("", "");

/// See the module. Written by one worker, read by anyone.
#[derive(Debug, Default)]
pub struct Routes(Mutex<HashMap<Key, Counts, FixedState>>);

/// Where the texts of a route lie: comparing that is enough.
type Key = [usize; 2];

#[derive(Debug)]
struct Counts {
    route: Route,
    /// Requests by the status of their answer.
    statuses: BTreeMap<u16, u64>,
    times: Times,
}

/// One route, over all workers.
#[derive(Debug, Default)]
pub struct Sum {
    /// Requests by the status of their answer.
    pub statuses: BTreeMap<u16, u64>,
    /// How long answers took to begin, in ns.
    pub sum_ns: u64,
    /// The same.
    pub histogram: Histogram,
}

impl Routes {
    /// Counts a request that was answered. Only the owning worker may call this.
    pub fn add(&self, route: Route, status: u16, ns: u64) {
        let key = [route.0, route.1].map(|text| text.as_ptr().addr());
        let mut all = self.0.lock();
        let counts = all.entry(key).or_insert_with(|| Counts {
            route,
            statuses: BTreeMap::new(),
            times: Times::default(),
        });
        *counts.statuses.entry(status).or_insert(0) += 1;
        counts.times.add(ns, 1, true);
    }

    /// Back to nothing (CONFIG RESETSTAT).
    pub fn reset(&self) {
        self.0.lock().clear();
    }

    /// Of all these, by route.
    pub fn sum<'r>(all: impl Iterator<Item = &'r Routes>) -> BTreeMap<Route, Sum> {
        let mut sums: BTreeMap<Route, Sum> = BTreeMap::new();
        for routes in all {
            for counts in routes.0.lock().values() {
                let sum = sums.entry(counts.route).or_default();
                for (status, count) in &counts.statuses {
                    *sum.statuses.entry(*status).or_insert(0) += count;
                }
                sum.sum_ns += counts.times.sum_ns.get();
                sum.histogram.add(&counts.times);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_summed_over_workers() {
        let workers = [Routes::default(), Routes::default()];
        workers[0].add(("GET", "/v1/get"), 200, 1_000);
        workers[0].add(("GET", "/v1/get"), 404, 3_000);
        workers[1].add(("GET", "/v1/get"), 200, 2_000);
        workers[1].add(NO_ROUTE, 404, 1_000);
        let sums = Routes::sum(workers.iter());
        assert_eq!(sums.len(), 2);
        let get = &sums[&("GET", "/v1/get")];
        assert_eq!(get.statuses, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!((get.sum_ns, get.histogram.total()), (6_000, 3));
        workers.iter().for_each(Routes::reset);
        assert!(Routes::sum(workers.iter()).is_empty());
    }
}
