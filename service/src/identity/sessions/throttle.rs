//! How often a password or a code may be guessed: failures are counted for each account at each address, each
//! account, and each address (GCRA, ITU-T I.371). A right password costs nothing, and an address from
//! which the account signed in before is not held back by what others try: this node remembers it, and where it
//! does not, it asks. What is counted is each node's own.

use std::future::{Future, ready};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::error::{Error, Result};

const MOST_BUCKETS: u64 = 100_000;
const MOST_FAMILIAR: u64 = 100_000;
/// Longer than any bucket takes to fill up again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
const FAMILIAR_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// `burst` failures at once, and one more every `every`.
#[derive(Clone, Copy)]
struct Rate {
    burst: i32,
    every: TimeDelta,
}

/// What is counted, and how much of it.
#[derive(Clone, Copy)]
struct Rates {
    account_at_address: Rate,
    account: Rate,
    address: Rate,
}

const PASSWORDS: Rates = Rates {
    account_at_address: Rate { burst: 10, every: TimeDelta::seconds(15) },
    account: Rate { burst: 60, every: TimeDelta::seconds(5) },
    address: Rate { burst: 120, every: TimeDelta::seconds(2) },
};
/// Six digits, three of which are right at a time: strangers who have the password find one in 500 days
/// with a chance of a half.
const CODES: Rates = Rates {
    account_at_address: Rate { burst: 6, every: TimeDelta::minutes(5) },
    account: Rate { burst: 30, every: TimeDelta::minutes(3) },
    address: Rate { burst: 120, every: TimeDelta::seconds(10) },
};

type Account = [u8; 32];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    AccountAtAddress(Account, Option<IpAddr>),
    Account(Account),
    Address(Option<IpAddr>),
}

#[derive(Clone)]
pub struct SignInThrottle {
    /// When each bucket is full again.
    full_at: Cache<Key, DateTime<Utc>>,
    familiar: Cache<(Account, Option<IpAddr>), ()>,
    rates: Rates,
    clock: Clock,
}

/// One guess that is counted until it proves to be none.
#[must_use]
pub struct Attempt {
    throttle: SignInThrottle,
    taken: Vec<(Key, Rate)>,
    place: (Account, Option<IpAddr>),
}

impl SignInThrottle {
    pub fn of_passwords(clock: &Clock) -> Self {
        Self::new(PASSWORDS, clock)
    }

    pub fn of_codes(clock: &Clock) -> Self {
        Self::new(CODES, clock)
    }

    fn new(rates: Rates, clock: &Clock) -> Self {
        Self {
            rates,
            full_at: Cache::builder().max_capacity(MOST_BUCKETS).time_to_idle(FORGOTTEN_AFTER).build(),
            familiar: Cache::builder().max_capacity(MOST_FAMILIAR).time_to_idle(FAMILIAR_FOR).build(),
            clock: clock.clone(),
        }
    }

    /// Counts a guess at the account from the address. Where others have used up what the account has,
    /// `is_familiar` says whether it signed in from there before.
    ///
    /// # Errors
    /// [`Error::RateLimited`] `sign_in_attempts`.
    pub async fn attempt(
        &self,
        email: &str,
        ip: Option<IpAddr>,
        is_familiar: impl Future<Output = Result<bool>> + Send,
    ) -> Result<Attempt> {
        let place = (Sha256::digest(email.as_bytes()).into(), ip.map(network));
        let (account, address) = place;
        let mut asked = vec![
            (Key::AccountAtAddress(account, address), self.rates.account_at_address),
            (Key::Address(address), self.rates.address),
        ];
        let is_remembered = self.familiar.get(&place).await.is_some();
        if !is_remembered {
            asked.push((Key::Account(account), self.rates.account));
        }
        let mut attempt = Attempt { throttle: self.clone(), taken: Vec::with_capacity(asked.len()), place };
        let mut refused = None;
        for (key, rate) in asked {
            match self.take(key, rate).await {
                Ok(()) => attempt.taken.push((key, rate)),
                Err(error) => {
                    refused = Some((key, error));
                    break;
                }
            }
        }
        let Some((key, refused)) = refused else { return Ok(attempt) };
        // The account's own bucket is asked last: the others have room.
        match matches!(key, Key::Account(_)) && is_familiar.await.unwrap_or(false) {
            true => {
                self.familiar.insert(place, ()).await;
                Ok(attempt)
            }
            false => {
                attempt.give_back().await;
                Err(refused)
            }
        }
    }

    async fn take(&self, key: Key, rate: Rate) -> Result<()> {
        let now = self.clock.now();
        let limit = now + rate.every * rate.burst;
        let entry = self.full_at.entry(key);
        let done = entry.and_compute_with(|entry| {
            let next = entry.map_or(now, |entry| (*entry.value()).max(now)) + rate.every;
            ready(if next <= limit { Op::Put(next) } else { Op::Nop })
        });
        match done.await {
            CompResult::Unchanged(entry) => {
                let wait = entry.into_value() + rate.every - limit;
                let retry_after = wait.to_std().unwrap_or_default();
                Err(Error::RateLimited { code: "sign_in_attempts", retry_after })
            }
            _ => Ok(()),
        }
    }
}

impl Attempt {
    /// The password or code was right.
    pub async fn succeeded(self) {
        self.throttle.familiar.insert(self.place, ()).await;
        self.give_back().await;
    }

    /// It was not looked at.
    pub async fn give_back(self) {
        for (key, rate) in self.taken {
            let entry = self.throttle.full_at.entry(key);
            let less = |entry: Option<moka::Entry<Key, DateTime<Utc>>>| {
                ready(entry.map_or(Op::Nop, |entry| Op::Put(*entry.value() - rate.every)))
            };
            entry.and_compute_with(less).await;
        }
    }
}

/// One household has a /64 of IPv6 addresses.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn elsewhere(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([198, 51, 100, n]))
    }

    async fn nowhere() -> Result<bool> {
        Ok(false)
    }

    fn throttle() -> (SignInThrottle, Clock) {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        (SignInThrottle::of_passwords(&clock), clock)
    }

    #[tokio::test]
    async fn guesses_run_out_and_come_back() {
        let (throttle, clock) = throttle();
        for _ in 0..PASSWORDS.account_at_address.burst {
            let _guess = throttle.attempt("a", HOME, nowhere()).await.unwrap();
        }
        let Err(Error::RateLimited { retry_after, .. }) = throttle.attempt("a", HOME, nowhere()).await else {
            panic!("allowed");
        };
        assert_eq!(retry_after, PASSWORDS.account_at_address.every.to_std().unwrap());
        assert!(throttle.attempt("b", HOME, nowhere()).await.is_ok());
        clock.advance(retry_after);
        assert!(throttle.attempt("a", HOME, nowhere()).await.is_ok());
        assert!(throttle.attempt("a", HOME, nowhere()).await.is_err());
    }

    #[tokio::test]
    async fn a_right_password_costs_nothing() {
        let (throttle, _) = throttle();
        for _ in 0..3 * PASSWORDS.address.burst {
            throttle.attempt("a", HOME, nowhere()).await.unwrap().succeeded().await;
        }
    }

    #[tokio::test]
    async fn codes_run_out_sooner_and_the_owner_is_not_locked_out() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let throttle = SignInThrottle::of_codes(&clock);
        throttle.attempt("a", HOME, nowhere()).await.unwrap().succeeded().await;
        let mut looked_at = 0;
        for _ in 0..24 * 60 {
            for n in 0..5 {
                looked_at += i32::from(throttle.attempt("a", elsewhere(n), nowhere()).await.is_ok());
            }
            clock.advance(Duration::from_secs(60));
        }
        assert!((400..=510).contains(&looked_at), "{looked_at} in a day");
        assert!(throttle.attempt("a", HOME, nowhere()).await.is_ok());
    }

    #[tokio::test]
    async fn strangers_do_not_lock_the_owner_out() {
        let (throttle, _) = throttle();
        throttle.attempt("a", HOME, nowhere()).await.unwrap().succeeded().await;
        let mut refused = 0;
        for n in 0..PASSWORDS.account.burst + 5 {
            let ip = elsewhere(u8::try_from(n / 5).unwrap());
            refused += i32::from(throttle.attempt("a", ip, nowhere()).await.is_err());
        }
        assert_eq!(refused, 5);
        assert!(throttle.attempt("a", HOME, nowhere()).await.is_ok());
    }

    #[tokio::test]
    async fn who_is_known_elsewhere_is_asked_for_once_and_within_the_other_limits() {
        let (throttle, _) = throttle();
        for n in 0..PASSWORDS.account.burst {
            let _guess =
                throttle.attempt("a", elsewhere(u8::try_from(n / 5).unwrap()), nowhere()).await.unwrap();
        }
        assert!(throttle.attempt("a", HOME, nowhere()).await.is_err());
        let failing = async { Err(Error::internal("the database is away")) };
        assert!(throttle.attempt("a", HOME, failing).await.is_err());
        assert!(throttle.attempt("a", HOME, async { Ok(true) }).await.is_ok());
        for _ in 1..PASSWORDS.account_at_address.burst {
            let _guess = throttle.attempt("a", HOME, nowhere()).await.unwrap();
        }
        assert!(throttle.attempt("a", HOME, async { Ok(true) }).await.is_err());
    }
}
