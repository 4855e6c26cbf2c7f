//! What operators change of their own account: the password, the second factor, the recovery codes. Each takes
//! the present second factor, because a session that was left open must not be enough; and each ends the
//! account's other sessions.

use super::accounts::ATTEMPTS;
use super::second_factor::{self, recovery_codes};
use super::sign_in::later;
use super::{Denial, Operator, Porter, SecondFactor, StaffAct, Standing, Taken};
use crate::ask::Origin;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::limits::{Account, Attempt};
use crate::secret::Secret;

/// What shows again that somebody at a session is its operator.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Asked for where the password changes.
    pub password: Option<Secret>,
    /// Of the authenticator, or a recovery code.
    pub code: Secret,
}

/// A new second factor on its way: what an authenticator reads, and what is sent back with its first code.
#[derive(Clone, Debug)]
pub struct Offered {
    pub otpauth: Secret,
    pub enrolment: Secret,
}

impl Porter<'_> {
    /// Gives one's own account another password.
    ///
    /// # Errors
    /// [`Denial::Invalid`] for a wrong proof or a weak password, [`Denial::Later`], or trouble.
    pub async fn change_own_password(
        &self,
        standing: &Standing,
        proof: Proof,
        password: Secret,
        record: AuditRecord,
    ) -> Result<(), Denial> {
        let names = standing.operator().email.split('@').map(str::to_owned).collect();
        if let Some(why) = self.desk.slow.password_weakness(password.clone(), names).await? {
            return Err(Denial::invalid("new_password", why));
        }
        let hash = self.desk.slow.password_hash(password).await?;
        let changed = |before: &Operator| Ok(Operator { password: hash.clone(), ..before.clone() });
        self.renew(standing, &proof, AuditRecord { event: "operator.password".into(), ..record }, changed)
            .await
    }

    /// Offers a new second factor. Nothing changes until it is confirmed.
    ///
    /// # Errors
    /// Trouble.
    pub fn offer_factor(&self, standing: &Standing) -> Result<Offered, Denial> {
        let operator = standing.operator();
        let offer = second_factor::offer(self.desk, &operator.id, &operator.email)?;
        Ok(Offered { otpauth: offer.otpauth, enrolment: offer.enrolment })
    }

    /// Puts the offered factor in the place of the present one. Gives new recovery codes; the old ones end.
    ///
    /// # Errors
    /// [`Denial::Invalid`] for a wrong proof or a code that is not of the new factor, [`Denial::Later`], or
    /// trouble.
    pub async fn renew_own_factor(
        &self,
        standing: &Standing,
        proof: Proof,
        (enrolment, first): (&Secret, &Secret),
        record: AuditRecord,
    ) -> Result<Vec<Secret>, Denial> {
        let id = &standing.operator().id;
        let confirmed = second_factor::confirmed(self.desk, id, enrolment.expose(), first.expose())?;
        let confirmed = confirmed.ok_or_else(not_confirmed)?;
        let (shown, kept) = recovery_codes(self.desk, id);
        let changed = |before: &Operator| {
            Ok(Operator {
                seed: confirmed.seed.clone(),
                last_step: confirmed.step,
                recovery: kept.clone(),
                ..before.clone()
            })
        };
        let record = AuditRecord { event: "operator.second_factor".into(), ..record };
        self.renew(standing, &proof, record, changed).await?;
        Ok(shown)
    }

    /// Makes new recovery codes; the old ones end.
    ///
    /// # Errors
    /// [`Denial::Invalid`] for a wrong proof, [`Denial::Later`], or trouble.
    pub async fn renew_own_recovery(
        &self,
        standing: &Standing,
        proof: Proof,
        record: AuditRecord,
    ) -> Result<Vec<Secret>, Denial> {
        let (shown, kept) = recovery_codes(self.desk, &standing.operator().id);
        // Sealed anew: the books take other recovery codes only with another text of the seed.
        let factor = SecondFactor::open(&self.desk.seal, &standing.operator().into())?;
        let seed = factor.sealed(self.desk, &standing.operator().id);
        let before = standing.operator().seed.clone();
        let changed = |now: &Operator| match now.seed == before {
            true => Ok(Operator { seed: seed.clone(), recovery: kept.clone(), ..now.clone() }),
            false => Err(Denial::conflict("Another second factor was enrolled a moment ago; try again.")),
        };
        let record = AuditRecord { event: "operator.recovery_codes".into(), ..record };
        self.renew(standing, &proof, record, changed).await?;
        Ok(shown)
    }

    /// Takes the proof and writes the account as `changed` has it.
    async fn renew(
        &self,
        standing: &Standing,
        proof: &Proof,
        record: AuditRecord,
        changed: impl Fn(&Operator) -> Result<Operator, Denial>,
    ) -> Result<(), Denial> {
        let origin = Origin { address: record.address.clone(), ..Origin::default() };
        let mine = Account::Codes(&standing.operator().id);
        let codes = Attempt::begin(self.desk, mine, &origin).await.map_err(later)?;
        for _ in 0..ATTEMPTS {
            let staff = self.staff.staff().await?;
            let found = staff.by_id(&standing.operator().id).filter(|it| !it.disabled);
            let operator = found.ok_or_else(|| Denial::missing("This account is closed."))?;
            let Some(factor) = self.proved(operator, proof).await? else {
                return self.not_proved(&record, "wrong password or second factor").await;
            };
            let mut record = record.clone();
            record.subject = Some(operator.actor());
            record.sid = Some(standing.session().id.clone());
            let (id, keep) = (operator.id.clone(), standing.session().id.clone());
            let put = StaffAct::Put {
                expected: staff.version,
                operator: Box::new(changed(operator)?),
                end_sessions: None,
            };
            let acts = vec![
                Act::Staff(StaffAct::TakeFactor { operator: id.clone(), factor }),
                Act::Staff(put),
                Act::Staff(StaffAct::EndOthers { operator: id, keep, now: self.desk.now() }),
            ];
            match self.desk.ledger.commit(Deed::new(Act::Several(acts), record.clone())).await? {
                Done::Committed { .. } => {
                    codes.was_right().await;
                    return Ok(());
                }
                Done::Spent { .. } => return self.not_proved(&record, "second factor used before").await,
                Done::Lost => {}
            }
        }
        Err(Denial::conflict("The operators kept changing; try again."))
    }

    async fn proved(&self, operator: &Operator, proof: &Proof) -> Result<Option<Taken>, Denial> {
        if let Some(password) = &proof.password {
            let phc = Some(operator.password.clone());
            if !self.desk.slow.password_fits(phc, password.clone()).await? {
                return Ok(None);
            }
        }
        Ok(second_factor::taken(self.desk, operator.into(), proof.code.expose())?)
    }

    async fn not_proved<T>(&self, record: &AuditRecord, why: &str) -> Result<T, Denial> {
        let mut refused = record.clone();
        refused.event = "operator.account.refused".into();
        refused.reason = Some(why.into());
        self.desk.ledger.commit(Deed::new(Act::Note, refused)).await?;
        Err(Denial::invalid(
            "code",
            "The present password or the code is wrong, or the code was used before; wait for the next code and try again.",
        ))
    }
}

pub(super) fn not_confirmed() -> Denial {
    Denial::invalid(
        "first_code",
        "This is no code of the new authenticator, or the enrolment took longer than 15 minutes; type the code that it shows now, or begin again.",
    )
}
