//! How many connections there are, in all and from each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the open connections of all ports that share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    count: Count,
    address: IpAddr,
}

impl Count {
    /// A place, if there is one.
    ///
    /// # Errors
    /// Which limit is reached, as a metric's label.
    pub(super) fn take(
        &self,
        address: IpAddr,
        most: usize,
        most_of_one: usize,
    ) -> Result<Place, &'static str> {
        // IPv4 callers of an IPv6 socket are the same ones.
        let address = address.to_canonical();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= most {
            return Err("too_many");
        }
        let of_one = open.by_address.entry(address).or_default();
        if *of_one >= most_of_one {
            return Err("too_many_of_one");
        }
        *of_one += 1;
        open.all += 1;
        let count = self.clone();
        Ok(Place { count, address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.count.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(of_one) = open.by_address.get_mut(&self.address) {
            *of_one = of_one.saturating_sub(1);
            if *of_one == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn places_come_back() {
        let count = Count::default();
        let at = |n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let first = count.take(at(1), 3, 2).unwrap();
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let _second = count.take(mapped, 3, 2).unwrap();
        assert_eq!(count.take(at(1), 3, 2).unwrap_err(), "too_many_of_one");
        let third = count.take(at(2), 3, 2).unwrap();
        assert_eq!(count.take(at(3), 3, 2).unwrap_err(), "too_many");
        drop(first);
        let _fourth = count.take(at(1), 3, 2).unwrap();
        drop(third);
        let known = count.0.lock().unwrap().by_address.len();
        assert_eq!(known, 1, "addresses without connections are forgotten");
    }
}
