//! All rules of `[targets]`, and the judgement.

use std::net::IpAddr;

use super::address::carried;
use super::refusal::Why;
use super::{AddressClass, Destination, Refusal, Rule, RuleMistake};

/// Where requests may go. The default: to public addresses only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRules {
    /// What these name may be reached, whatever it is.
    pub allow: Box<[Rule]>,
    /// What these name may not be reached, even if a rule of `allow` names it.
    pub deny: Box<[Rule]>,
    /// What no rule of `allow` names may not be reached.
    pub allow_only: bool,
}

impl TargetRules {
    /// How many rules one list may hold. A longer list is refused.
    pub const RULES_MAX: usize = 1_000;

    /// Reads a list of rules with commas between them; the error is every mistake in it.
    pub fn parse_list(text: &str) -> Result<Box<[Rule]>, Vec<RuleMistake>> {
        let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
        for (index, part) in text.split(',').map(str::trim).enumerate().filter(|_| !text.trim().is_empty()) {
            let mistake = |expected| RuleMistake { position: index + 1, given: part.to_owned(), expected };
            if index == Self::RULES_MAX {
                mistakes.push(mistake(format!("at most {} rules", Self::RULES_MAX)));
                break;
            }
            match Rule::parse(part) {
                Ok(rule) => rules.push(rule),
                Err(expected) => mistakes.push(mistake(expected)),
            }
        }
        if mistakes.is_empty() { Ok(rules.into()) } else { Err(mistakes) }
    }

    /// Whether a request may be sent to an address: the one in its URL, or one that its host has.
    pub fn judge(&self, to: &Destination, address: IpAddr) -> Result<(), Refusal> {
        let refuse = |why| Err(Refusal::new(to, Some(address), why));
        if let Some(rule) = self.deny.iter().find(|rule| rule.closes(to, address)) {
            return refuse(Why::Denied(rule.as_str().into()));
        }
        let mut behind = carried(address).peekable();
        if behind.peek().is_none() {
            return self.judge_one(to, address).map_err(|why| Refusal::new(to, Some(address), why(None)));
        }
        // Whoever goes to an address goes to each one that it carries.
        behind.try_for_each(|carried| {
            self.judge_one(to, carried).map_err(|why| Refusal::new(to, Some(address), why(Some(carried))))
        })
    }

    /// Whether an address that carries none may be reached, and is not denied. The error takes by whom it is carried.
    fn judge_one(&self, to: &Destination, address: IpAddr) -> Result<(), impl Fn(Option<IpAddr>) -> Why> {
        let class = AddressClass::of(address);
        let is_allowed = self.allow.iter().any(|rule| rule.opens(to, address));
        if is_allowed || (!self.allow_only && class.is_none()) {
            return Ok(());
        }
        let class = class.filter(|_| !self.allow_only);
        Err(move |carried| class.map_or(Why::NotAllowed, |class| Why::Class { carried, class }))
    }

    /// What can be said before anybody is asked for an address. Passing is no permission: [`TargetRules::judge`] has the last word.
    pub fn judge_host(&self, to: &Destination) -> Result<(), Refusal> {
        if let Some(address) = to.known_address() {
            return self.judge(to, address);
        }
        let refuse = |why| Err(Refusal::new(to, None, why));
        if let Some(rule) = self.deny.iter().find(|rule| rule.names(to)) {
            return refuse(Why::Denied(rule.as_str().into()));
        }
        if self.allow_only && !self.allow.iter().any(|rule| rule.names(to) || rule.may_name_an_address(to)) {
            return refuse(Why::NotAllowed);
        }
        Ok(())
    }
}
