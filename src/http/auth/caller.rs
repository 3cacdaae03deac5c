//! The caller of a request: the team's own backend, or a user with a token.

use std::fmt;
use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};

use super::Auth;
use crate::http::Problem;
use crate::ids::{CustomerId, UserId, Username};

/// A permission of a user token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To upload images, and to change one's name and email address.
    Upload,
    /// To read one's statuses, images, name and email address.
    Status,
    /// To submit one's scores.
    Score,
    /// To place one's orders.
    Order,
}

impl Scope {
    pub(crate) const ALL: [Self; 4] = [Self::Upload, Self::Status, Self::Score, Self::Order];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Status => "status",
            Self::Score => "score",
            Self::Order => "order",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scopes(u8);

impl Default for Scopes {
    /// Those of a token without the claim `scope`.
    fn default() -> Self {
        Self(Scope::Upload.bit() | Scope::Status.bit())
    }
}

impl Scopes {
    /// Those that are known among names separated by spaces (RFC 8693, section 4.2); others are ignored, since an
    /// identity provider has scopes of its own.
    pub(crate) fn known(names: &str) -> Self {
        let known = names.split_ascii_whitespace().filter_map(|name| Scope::ALL.iter().find(|s| s.name() == name));
        Self(known.fold(0, |bits, scope| bits | scope.bit()))
    }

    pub(crate) fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

/// A route that user tokens may use; all others are closed to them.
#[derive(Debug, Clone)]
pub(crate) struct UserRoute {
    /// GET includes HEAD.
    pub(crate) method: Method,
    /// The pattern with which the route is registered.
    pub(crate) path: &'static str,
    /// The scope that it needs.
    pub(crate) scope: Scope,
}

impl UserRoute {
    pub(crate) const fn new(method: Method, path: &'static str, scope: Scope) -> Self {
        Self { method, path, scope }
    }

    pub(super) fn is(&self, method: &Method, path: &str) -> bool {
        let same = self.method == *method || (self.method == Method::GET && *method == Method::HEAD);
        same && self.path == path
    }
}

/// The content of a valid user token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UserToken {
    /// The id of the user, of at most 255 characters.
    pub(super) subject: String,
    pub(super) username: Option<Username>,
    pub(super) scopes: Scopes,
    /// Unix time in seconds, both without the leeway.
    pub(super) not_before: f64,
    pub(super) expires: f64,
}

/// The caller of a request on a guarded route.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anyone if the server has no token, else the holder of the service token: acts for all users.
    Trusted,
    /// A user, who acts for themselves.
    User(Arc<UserToken>),
}

impl Caller {
    /// The user for whom a request acts that names this one, or none.
    ///
    /// # Errors
    /// 403 if it is another than that of the user token. `None` for a trusted caller who names no user.
    pub(crate) fn acting_for(&self, named: Option<UserId>) -> Result<Option<UserId>, Problem> {
        let Self::User(token) = self else { return Ok(named) };
        let own = UserId::from_str(&token.subject).map_err(|invalid| forbidden(&format!("user id: {invalid}")))?;
        if own.to_string() != token.subject {
            // Otherwise another user of the issuer could be the same user here.
            return Err(forbidden("user id: got zeros at the start, expected none"));
        }
        match named {
            Some(named) if named != own => Err(another("user", &own)),
            _ => Ok(Some(own)),
        }
    }

    /// Checks that a request may act for this user.
    ///
    /// # Errors
    /// 403 if the user token is of another user.
    pub(crate) fn check_user(&self, user: UserId) -> Result<(), Problem> {
        self.acting_for(Some(user)).map(drop)
    }

    /// Whether a request may know of this user's resources.
    pub(crate) fn may_see(&self, user: UserId) -> bool {
        self.check_user(user).is_ok()
    }

    /// Checks that a request may act for this customer.
    ///
    /// # Errors
    /// 403 if the user token is of another user.
    pub(crate) fn check_customer(&self, customer: &CustomerId) -> Result<(), Problem> {
        match self {
            Self::User(token) if token.subject != customer.as_str() => Err(another("userId", &token.subject)),
            _ => Ok(()),
        }
    }

    /// Checks that a request may submit scores of this player.
    ///
    /// # Errors
    /// 403 if the user token has another `username`, or none.
    pub(crate) fn check_player(&self, player: &Username) -> Result<(), Problem> {
        let Self::User(token) = self else { return Ok(()) };
        match &token.username {
            Some(own) if own == player => Ok(()),
            Some(own) => Err(another("username", &own.as_str())),
            None => Err(forbidden("it has no claim \"username\", which scores need")),
        }
    }

    /// Checks that a request is not a user's.
    ///
    /// # Errors
    /// 403 for a user token; `what` needs the service token.
    pub(crate) fn check_trusted(&self, what: &str) -> Result<(), Problem> {
        match self {
            Self::Trusted => Ok(()),
            Self::User(_) => Err(forbidden(&format!("{what} needs the service token"))),
        }
    }
}

/// 403 for a user token; the detail says why.
pub(super) fn forbidden(reason: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, format!("This user token cannot be used here: {reason}."))
}

fn another(what: &str, own: &dyn fmt::Display) -> Problem {
    let own: String = own.to_string().chars().take(60).collect();
    forbidden(&format!("it is valid only for the {what} \"{own}\""))
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admitted = request.extensions().get::<Self>().cloned();
        let accepts_users = request.app_data::<web::Data<Auth>>().is_none_or(|auth| auth.accepts_users());
        ready(match admitted {
            Some(caller) => Ok(caller),
            // The middleware adds nothing then, since an extension costs memory in each long poll.
            None if !accepts_users => Ok(Self::Trusted),
            None => Err(Problem::internal("a route asks for its caller, but has no authentication")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(subject: &str, username: Option<&str>) -> Caller {
        Caller::User(Arc::new(UserToken {
            subject: subject.to_owned(),
            username: username.map(|name| name.parse().unwrap()),
            scopes: Scopes::default(),
            not_before: 0.0,
            expires: f64::MAX,
        }))
    }

    #[test]
    fn unknown_scopes_are_ignored_and_the_default_is_to_upload_and_wait() {
        let scopes = Scopes::known("openid  order email");
        assert_eq!(Scope::ALL.map(|scope| scopes.contains(scope)), [false, false, false, true]);
        assert_eq!(Scope::ALL.map(|scope| Scopes::default().contains(scope)), [true, true, false, false]);
        assert_eq!(Scope::ALL.map(|scope| Scopes::known("").contains(scope)), [false; 4]);
    }

    #[test]
    fn a_user_acts_for_themselves_alone() {
        let id = |number| UserId::new(number).unwrap();
        let (trusted, seven) = (Caller::Trusted, user("7", Some("ada")));
        assert_eq!(trusted.acting_for(None).unwrap(), None);
        assert_eq!(trusted.acting_for(Some(id(8))).unwrap(), Some(id(8)));
        assert_eq!(seven.acting_for(None).unwrap(), Some(id(7)));
        assert_eq!(seven.acting_for(Some(id(7))).unwrap(), Some(id(7)));
        assert!(seven.acting_for(Some(id(8))).is_err() && !seven.may_see(id(8)));
        assert!(user("auth0|7", None).acting_for(None).is_err() && user("07", None).acting_for(None).is_err());

        let (ada, bob) = ("ada".parse().unwrap(), "bob".parse().unwrap());
        assert!(seven.check_player(&ada).is_ok() && seven.check_player(&bob).is_err());
        assert!(user("7", None).check_player(&ada).is_err() && trusted.check_player(&bob).is_ok());

        let customer = |id: &str| id.parse::<CustomerId>().unwrap();
        assert!(seven.check_customer(&customer("7")).is_ok() && seven.check_customer(&customer("07")).is_err());
        assert!(trusted.check_trusted("This").is_ok() && seven.check_trusted("This").is_err());
    }

    #[test]
    fn a_route_is_its_method_and_its_pattern() {
        let route = UserRoute::new(Method::GET, "/jobs/{job_id}", Scope::Status);
        assert!(route.is(&Method::GET, "/jobs/{job_id}") && route.is(&Method::HEAD, "/jobs/{job_id}"));
        assert!(!route.is(&Method::POST, "/jobs/{job_id}") && !route.is(&Method::GET, "/jobs/{job_id}/live"));
    }
}
