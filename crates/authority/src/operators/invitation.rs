//! Invitations: an owner says who shall be an operator, and the invited chooses a password and enrols a second
//! factor in one go, so that nobody else ever knows either. The same lets a colleague in again whose second
//! factor two others have taken away (`reset.rs`).

use serde::{Deserialize, Serialize};

use super::accounts::{ATTEMPTS, tidy};
use super::own::{Offered, not_confirmed};
use super::second_factor::{self, recovery_codes};
use super::sign_in::later;
use super::{Denial, Operator, OperatorRole, Porter, Staff, StaffAct, check_address, folded};
use crate::ask::Origin;
use crate::audit;
use crate::ledger::{Act, AuditRecord, Deed, Done};
use crate::limits::{Account, Attempt};
use crate::secret::{Secret, hash_random};

/// How every invitation's code begins, so that scanners find one that leaked.
pub const INVITATION_PREFIX: &str = "pci_";
/// How long an invitation is open, seconds, unless somebody says less; and at most.
const LIFETIME: u64 = 24 * 3600;
const LONGEST: u64 = 7 * 24 * 3600;
const SHORTEST: u64 = 60;

/// An invitation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: String,
    /// Of the code.
    pub hash: String,
    /// Id of the account that it makes or opens.
    pub operator: String,
    pub email: String,
    pub roles: Vec<OperatorRole>,
    /// Operator id of who invites.
    pub by: String,
    pub created_at: u64,
    pub expires_at: u64,
}

/// Who shall be invited.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub email: String,
    pub roles: Vec<OperatorRole>,
    /// Seconds.
    pub lifetime: Option<u64>,
}

/// What the invited sees before accepting.
#[derive(Clone, Debug)]
pub struct Invited {
    pub invitation: Invitation,
    /// Whether the account is there already; then its present password is asked for.
    pub known: bool,
    pub offered: Offered,
}

/// What the invited sends.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Of the invitation.
    pub code: Secret,
    /// The new password, or the present one of an account that is there already.
    pub password: Secret,
    pub enrolment: Secret,
    /// The first code of the new authenticator.
    pub first: Secret,
}

impl Porter<'_> {
    /// Invites somebody. The code is shown once.
    ///
    /// # Errors
    /// [`Denial::Invalid`], [`Denial::Conflict`] for an address that has an account or is invited, or trouble.
    pub async fn invite(
        &self,
        by: &Operator,
        wanted: Wanted,
        record: AuditRecord,
    ) -> Result<(Invitation, Secret), Denial> {
        let email = folded(&wanted.email);
        check_address(&email)?;
        let roles = tidy(&wanted.roles)?;
        let staff = self.staff.staff().await?;
        if staff.by_email(&email).is_some() {
            return Err(Denial::conflict("There is an operator with this address."));
        }
        if self.staff.invitations(self.desk.now()).await?.iter().any(|open| open.email == email) {
            return Err(Denial::conflict("This address is invited already; withdraw that invitation first."));
        }
        let invitation = Draft { operator: self.desk.id_text(), email, roles, lifetime: wanted.lifetime };
        self.write(by, invitation, record).await
    }

    /// Lets a colleague enrol a second factor again after it was taken away. Password and roles stay.
    ///
    /// # Errors
    /// [`Denial::Missing`], [`Denial::Conflict`] unless it was taken away, or trouble.
    pub async fn invite_again(
        &self,
        by: &Operator,
        id: &str,
        record: AuditRecord,
    ) -> Result<(Invitation, Secret), Denial> {
        let staff = self.staff.staff().await?;
        let found = staff.by_id(id).ok_or_else(|| Denial::missing("There is no such operator."))?;
        if !found.awaits_factor || found.disabled {
            return Err(Denial::conflict(
                "This operator has a second factor, or the account is closed; propose to reset the factor first.",
            ));
        }
        let now = self.desk.now();
        for open in self.staff.invitations(now).await?.into_iter().filter(|open| open.operator == id) {
            let act = StaffAct::Uninvite { id: open.id, now };
            let record = AuditRecord { event: "operator.uninvited".into(), ..record.clone() };
            self.desk.ledger.commit(Deed::new(Act::Staff(act), record)).await?;
        }
        let (operator, email) = (found.id.clone(), found.email.clone());
        self.write(by, Draft { operator, email, roles: found.roles.clone(), lifetime: None }, record).await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`Denial::Missing`] unless it is open, or trouble.
    pub async fn uninvite(&self, id: &str, record: AuditRecord) -> Result<(), Denial> {
        let open = self.staff.invitations(self.desk.now()).await?.into_iter().find(|open| open.id == id);
        let gone = || Denial::missing("There is no such open invitation; list them to see which there are.");
        let open = open.ok_or_else(gone)?;
        let mut record = AuditRecord { event: "operator.uninvited".into(), ..record };
        record.subject = Some(format!("operator:{}", open.operator));
        let act = StaffAct::Uninvite { id: open.id, now: self.desk.now() };
        match self.desk.ledger.commit(Deed::new(Act::Staff(act), record)).await? {
            Done::Committed { .. } => Ok(()),
            _ => Err(gone()),
        }
    }

    /// Shows an invitation to whoever holds its code, with a second factor to enrol.
    ///
    /// # Errors
    /// [`Denial::Missing`] in the same words for every reason, [`Denial::Later`], or trouble.
    pub async fn open_invitation(&self, code: &Secret, origin: &Origin) -> Result<Invited, Denial> {
        // The code itself cannot be guessed.
        self.desk.limits.visit(self.desk, origin).map_err(later)?;
        let staff = self.staff.staff().await?;
        let invitation = self.invitation(&staff, code).await?;
        let known = staff.by_id(&invitation.operator).is_some();
        let offer = second_factor::offer(self.desk, &invitation.operator, &invitation.email)?;
        let offered = Offered { otpauth: offer.otpauth, enrolment: offer.enrolment };
        Ok(Invited { invitation, known, offered })
    }

    /// Accepts an invitation. Gives the account and its recovery codes.
    ///
    /// # Errors
    /// [`Denial::Missing`] for an invitation that is not open, [`Denial::Invalid`] naming the member,
    /// [`Denial::Later`], or trouble.
    pub async fn accept_invitation(
        &self,
        shown: &Acceptance,
        origin: &Origin,
    ) -> Result<(Operator, Vec<Secret>), Denial> {
        // The code itself cannot be guessed.
        self.desk.limits.visit(self.desk, origin).map_err(later)?;
        for _ in 0..ATTEMPTS {
            let staff = self.staff.staff().await?;
            let invitation = self.invitation(&staff, &shown.code).await?;
            let (enrolment, first) = (shown.enrolment.expose(), shown.first.expose());
            let confirmed = second_factor::confirmed(self.desk, &invitation.operator, enrolment, first)?;
            let confirmed = confirmed.ok_or_else(not_confirmed)?;
            let (codes, kept) = recovery_codes(self.desk, &invitation.operator);
            let before = self.account(&staff, &invitation, (&shown.password, origin)).await?;
            let mut operator = Operator {
                seed: confirmed.seed,
                last_step: confirmed.step,
                recovery: kept,
                awaits_factor: false,
                ..before
            };
            // Whoever invites is no second person to the invited, for a while.
            operator.was_changed(&invitation.by, self.desk.now());
            if self.committed(&staff, &invitation, &operator, origin).await? {
                return Ok((operator, codes));
            }
        }
        Err(Denial::conflict("The operators kept changing; try again."))
    }

    async fn committed(
        &self,
        staff: &Staff,
        invitation: &Invitation,
        operator: &Operator,
        origin: &Origin,
    ) -> Result<bool, Denial> {
        let known = staff.by_id(&invitation.operator).is_some();
        let event = if known { "operator.enrolled" } else { "operator.created" };
        let mut record = audit::event(event, self.desk.now(), origin);
        record.actors = vec![operator.actor()];
        record.subject = Some(operator.actor());
        record.detail =
            Some(serde_json::json!({ "invitation": invitation.id, "invited_by": invitation.by }).to_string());
        let now = self.desk.now();
        let put = StaffAct::Put {
            expected: staff.version,
            operator: Box::new(operator.clone()),
            end_sessions: Some(now),
        };
        let spent = StaffAct::SpendInvitation { id: invitation.id.clone(), now };
        let acts = vec![Act::Staff(spent), Act::Staff(put)];
        match self.desk.ledger.commit(Deed::new(Act::Several(acts), record)).await? {
            Done::Committed { .. } => Ok(true),
            Done::Spent { .. } => Err(not_open()),
            Done::Lost => Ok(false),
        }
    }

    /// The account without its second factor: the one that is there, if the password is its own, or a new one.
    async fn account(
        &self,
        staff: &Staff,
        invitation: &Invitation,
        (password, origin): (&Secret, &Origin),
    ) -> Result<Operator, Denial> {
        if let Some(known) = staff.by_id(&invitation.operator) {
            return self.known(known, password, origin).await;
        }
        if staff.by_email(&invitation.email).is_some() {
            return Err(not_open());
        }
        let names = invitation.email.split('@').map(str::to_owned).collect();
        if let Some(why) = self.desk.slow.password_weakness(password.clone(), names).await? {
            return Err(Denial::invalid("password", why));
        }
        let (id, email, roles) = (&invitation.operator, &invitation.email, invitation.roles.clone());
        Ok(Operator {
            password: self.desk.slow.password_hash(password.clone()).await?,
            ..Operator::new(id, email, roles, self.desk.now())
        })
    }

    /// The account that is there already, if the password is its own: whoever has only the code must guess, and
    /// not often.
    async fn known(&self, known: &Operator, password: &Secret, origin: &Origin) -> Result<Operator, Denial> {
        let attempt = Attempt::begin(self.desk, Account::Codes(&known.id), origin).await.map_err(later)?;
        let (fits, attempt) = attempt.fits(Some(known.password.clone()), password.clone()).await?;
        if fits {
            attempt.was_right().await;
            return Ok(known.clone());
        }
        let mut record = audit::event("operator.invitation.refused", self.desk.now(), origin);
        record.subject = Some(known.actor());
        record.reason = Some("wrong password".into());
        self.desk.ledger.commit(Deed::new(Act::Note, record)).await?;
        Err(Denial::invalid(
            "password",
            "This is not the present password of the account; a reset of the second factor leaves it as it is.",
        ))
    }

    /// The open invitation of this code, as long as whoever gave it may still give one.
    async fn invitation(&self, staff: &Staff, code: &Secret) -> Result<Invitation, Denial> {
        let hash = hash_random(code.expose());
        let found = self.staff.invitations(self.desk.now()).await?.into_iter().find(|it| it.hash == hash);
        let owns = |id: &str| {
            let by = staff.by_id(id);
            by.is_some_and(|it| !it.disabled && !it.awaits_factor && it.may(&[OperatorRole::Owner]))
        };
        let closed =
            |it: &Invitation| staff.by_id(&it.operator).is_some_and(|who| who.disabled || !who.awaits_factor);
        found.filter(|it| owns(&it.by) && !closed(it)).ok_or_else(not_open)
    }

    async fn write(
        &self,
        by: &Operator,
        draft: Draft,
        record: AuditRecord,
    ) -> Result<(Invitation, Secret), Denial> {
        let lifetime = draft.lifetime.unwrap_or(LIFETIME);
        if !(SHORTEST..=LONGEST).contains(&lifetime) {
            return Err(Denial::invalid("lifetime", "Give 60 to 604800 seconds."));
        }
        let code = Secret::from(format!("{INVITATION_PREFIX}{}", self.desk.token()));
        let now = self.desk.now();
        let invitation = Invitation {
            id: self.desk.id_text(),
            hash: hash_random(code.expose()),
            operator: draft.operator,
            email: draft.email,
            roles: draft.roles,
            by: by.id.clone(),
            created_at: now,
            expires_at: now + lifetime,
        };
        let words: Vec<_> = invitation.roles.iter().map(|role| role.as_str()).collect();
        let record = AuditRecord {
            event: "operator.invited".into(),
            subject: Some(format!("operator:{}", invitation.operator)),
            scope: Some(words.join(" ")),
            detail: Some(serde_json::json!({ "invitation": invitation.id }).to_string()),
            ..record
        };
        let act = Act::Staff(StaffAct::Invite(invitation.clone()));
        self.desk.ledger.commit(Deed::new(act, record)).await?;
        Ok((invitation, code))
    }
}

/// An invitation that is about to be written.
struct Draft {
    operator: String,
    email: String,
    roles: Vec<OperatorRole>,
    lifetime: Option<u64>,
}

fn not_open() -> Denial {
    Denial::missing(
        "This invitation is not open: it was accepted or withdrawn, or has expired; ask an owner for another one.",
    )
}
