//! The family tree of a provider's tokens.
//!
//! Invariant: a family has at most one living leaf, the refresh token that the provider issued last.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::rand;

use crate::support::provider::{Grace, Replay, Reuse, Rotation, Rules};

/// All tokens that were ever issued.
#[derive(Default)]
pub(super) struct Tree {
    families: Vec<Family>,
    refresh: HashMap<String, Node>,
    /// The valid access tokens, with their families.
    access: HashMap<String, usize>,
}

struct Family {
    has_ended: bool,
    leaf: String,
    subject: String,
    nonce: Option<String>,
}

struct Node {
    family: usize,
    issued: Duration,
    /// The access token that was last issued with it.
    access: String,
    spent: Option<Duration>,
    successor: Option<String>,
}

/// The tokens of one answer.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) subject: String,
    pub(super) nonce: Option<String>,
}

/// A new random token. Its first part is searched for in dumps.
pub(super) fn random(kind: &str) -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("random bytes");
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("CANARY-{kind}-{digits}")
}

impl Tree {
    /// A new family.
    pub(super) fn plant(&mut self, subject: &str, nonce: Option<&str>, now: Duration) -> Pair {
        let family = self.families.len();
        self.families.push(Family {
            has_ended: false,
            leaf: String::new(),
            subject: subject.to_owned(),
            nonce: nonce.map(str::to_owned),
        });
        self.grow(family, now)
    }

    /// A new leaf, which is the living one from now on.
    fn grow(&mut self, family: usize, now: Duration) -> Pair {
        let (access, refresh) = (random("access"), random("refresh"));
        let node =
            Node { family, issued: now, access: access.clone(), spent: None, successor: None };
        self.refresh.insert(refresh.clone(), node);
        self.access.insert(access, family);
        self.families[family].leaf.clone_from(&refresh);
        self.pair(&refresh)
    }

    fn pair(&self, refresh: &str) -> Pair {
        let node = &self.refresh[refresh];
        let family = &self.families[node.family];
        Pair {
            access: node.access.clone(),
            refresh: refresh.to_owned(),
            subject: family.subject.clone(),
            nonce: family.nonce.clone(),
        }
    }

    /// New tokens for a refresh token; `None` if it is invalid.
    pub(super) fn refresh(&mut self, token: &str, rules: &Rules, now: Duration) -> Option<Pair> {
        let node = self.refresh.get(token)?;
        let family = node.family;
        if self.families[family].has_ended {
            return None;
        }
        if let Some(spent) = node.spent {
            return self.replay(token, spent, rules, now);
        }
        let rotates = match rules.rotation {
            Rotation::Never => false,
            Rotation::Always => true,
            Rotation::OlderThan(age) => now.saturating_sub(node.issued) >= age,
        };
        if rules.ends_old_access {
            self.access.retain(|_, of| *of != family);
        }
        if rotates {
            return Some(self.succeed(token, family, now));
        }
        let access = random("access");
        self.access.insert(access.clone(), family);
        self.refresh.get_mut(token)?.access = access;
        Some(self.pair(token))
    }

    fn succeed(&mut self, token: &str, family: usize, now: Duration) -> Pair {
        let pair = self.grow(family, now);
        let node = self.refresh.get_mut(token).expect("it was there");
        node.spent.get_or_insert(now);
        node.successor = Some(pair.refresh.clone());
        pair
    }

    /// The tokens for a refresh token that was spent before.
    fn replay(
        &mut self,
        token: &str,
        spent: Duration,
        rules: &Rules,
        now: Duration,
    ) -> Option<Pair> {
        let node = &self.refresh[token];
        let (family, successor) = (node.family, node.successor.clone()?);
        let is_last_but_one = self.refresh[&successor].spent.is_none();
        let is_within_grace = match rules.grace {
            Grace::None => false,
            Grace::For(time) => now.saturating_sub(spent) < time,
            Grace::UntilSuccessorIsUsed => true,
        };
        if is_last_but_one && is_within_grace {
            return Some(match rules.replay {
                Replay::SamePair => self.pair(&successor),
                Replay::NewPair => {
                    self.refresh.get_mut(&successor)?.spent = Some(now);
                    self.succeed(token, family, now)
                }
            });
        }
        if matches!(rules.reuse, Reuse::EndsFamily) {
            self.end(family);
        }
        None
    }

    fn end(&mut self, family: usize) {
        self.families[family].has_ended = true;
        self.access.retain(|_, of| *of != family);
    }

    /// Ends the family of a token of either kind; returns whether it is known.
    pub(super) fn revoke(&mut self, token: &str) -> bool {
        let family = self.refresh.get(token).map(|node| node.family);
        let family = family.or_else(|| self.access.get(token).copied());
        family.inspect(|family| self.end(*family)).is_some()
    }

    /// Ends a token, and not those that were issued with it.
    pub(super) fn revoke_alone(&mut self, token: &str) {
        match self.refresh.get(token).map(|node| node.family) {
            Some(family) => self.families[family].has_ended = true,
            None => drop(self.access.remove(token)),
        }
    }

    /// Whether this refresh token gets the next tokens.
    pub(super) fn is_living_leaf(&self, token: &str) -> bool {
        let family = self.refresh.get(token).map(|node| &self.families[node.family]);
        family.is_some_and(|family| !family.has_ended && family.leaf == token)
    }

    /// Whether an access token was issued with a living refresh token.
    pub(super) fn is_newest(&self, access: &str) -> bool {
        let family = self.access.get(access).map(|family| &self.families[*family]);
        family.is_some_and(|family| self.refresh[&family.leaf].access == access)
    }

    /// Whether an access token works.
    pub(super) fn is_active(&self, access: &str) -> bool {
        self.access.contains_key(access)
    }
}
