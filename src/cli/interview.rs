//! The questions of `hoist init` on a terminal.

use std::io::{self, BufRead, Write};

use super::init::Machine;
use crate::inventory::{KUBERNETES, NewHost, Role, Start, usual_roles};

/// Who logs in where nobody says who.
pub(super) const USER: &str = "root";

const ROLES: [Role; 4] = [Role::ControlPlane, Role::Worker, Role::Etcd, Role::Storage];

/// What is known without asking.
pub(super) struct Known {
    pub name: Option<String>,
    /// The name to offer.
    pub usual_name: String,
    pub kubernetes: Option<String>,
    pub user: Option<String>,
    pub hosts: Option<Vec<NewHost>>,
}

/// Asks for what is not known. An empty answer takes what stands in brackets. What is wrong as a whole, such as two hosts
/// of one name, is told when the inventory is made.
///
/// # Errors
/// When nobody answers any more.
pub(super) fn hold(
    answers: &mut impl BufRead,
    questions: &mut impl Write,
    known: &Known,
) -> io::Result<Start> {
    let mut talk = Talk { answers, questions };
    let name = match &known.name {
        Some(name) => name.clone(),
        None => talk.ask("The cluster's name", &known.usual_name)?,
    };
    let kubernetes = match &known.kubernetes {
        Some(version) => version.clone(),
        None => talk.ask("The Kubernetes version", KUBERNETES)?,
    };
    let user = match &known.user {
        Some(user) => user.clone(),
        None => talk.ask("The user to log in as", USER)?,
    };
    let hosts = match &known.hosts {
        Some(hosts) => hosts.clone(),
        None => talk.hosts()?,
    };
    Ok(Start { name, kubernetes, user, hosts })
}

struct Talk<'a, A, Q> {
    answers: &'a mut A,
    questions: &'a mut Q,
}

impl<A: BufRead, Q: Write> Talk<'_, A, Q> {
    fn ask(&mut self, question: &str, usual: &str) -> io::Result<String> {
        match usual {
            "" => write!(self.questions, "{question}: ")?,
            usual => write!(self.questions, "{question} [{usual}]: ")?,
        }
        self.questions.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the answers ended; nothing was written",
            ));
        }
        let answer = line.trim();
        Ok(if answer.is_empty() { usual.to_owned() } else { answer.to_owned() })
    }

    fn hosts(&mut self) -> io::Result<Vec<NewHost>> {
        writeln!(self.questions, "The machines, one after the other; an empty line ends them.")?;
        let mut machines: Vec<Machine> = Vec::new();
        loop {
            let answer = self.ask(&format!("Machine {}: NAME=ADDRESS", machines.len() + 1), "")?;
            match answer.parse() {
                Ok(machine) => machines.push(machine),
                Err(_) if answer.is_empty() && !machines.is_empty() => break,
                Err(_) if answer.is_empty() => writeln!(self.questions, "  at least one is needed")?,
                Err(mistake) => writeln!(self.questions, "  {mistake}")?,
            }
        }
        let count = machines.len();
        let mut hosts = Vec::new();
        for (index, Machine { name, address }) in machines.into_iter().enumerate() {
            let roles = self.roles(&name, &usual_roles(index, count))?;
            hosts.push(NewHost { name, address, roles });
        }
        Ok(hosts)
    }

    fn roles(&mut self, name: &str, usual: &[Role]) -> io::Result<Vec<Role>> {
        let words = |roles: &[Role]| roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",");
        loop {
            let answer = self.ask(&format!("Roles of {name}"), &words(usual))?;
            let named = answer.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
            let found: Result<Vec<Role>, &str> =
                named.map(|word| ROLES.into_iter().find(|role| role.name() == word).ok_or(word)).collect();
            match found {
                Ok(roles) => return Ok(roles),
                Err(word) => writeln!(self.questions, "  there is no role `{word}`: {}", words(&ROLES))?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { name: None, usual_name: "office".into(), kubernetes: None, user: None, hosts: None }
    }

    fn held(answers: &str, known: &Known) -> (io::Result<Start>, String) {
        let mut questions = Vec::new();
        let start = hold(&mut answers.as_bytes(), &mut questions, known);
        (start, String::from_utf8(questions).unwrap())
    }

    #[test]
    fn everything_is_asked_for_and_mistakes_are_asked_for_again() {
        let answers = "\n1.36.2\nadmin\n\ncp1\ncp1=10.0.0.1\nw1=10.0.0.2\n\n\nwrker\nworker, storage\n";
        let (start, questions) = held(answers, &known());
        let start = start.unwrap();
        assert_eq!(
            (start.name.as_str(), start.kubernetes.as_str(), start.user.as_str()),
            ("office", "1.36.2", "admin")
        );
        let host = |name: &str, last: u8, roles: &[Role]| NewHost {
            name: name.into(),
            address: [10, 0, 0, last].into(),
            roles: roles.into(),
        };
        let expected = [host("cp1", 1, &[Role::ControlPlane]), host("w1", 2, &[Role::Worker, Role::Storage])];
        assert_eq!(start.hosts, expected);
        for question in [
            "The cluster's name [office]: The Kubernetes version [1.20.2]: The user to log in as [root]: ",
            "Machine 1: NAME=ADDRESS:   at least one is needed\n",
            "  write NAME=ADDRESS, such as cp1=192.168.18.201\n",
            "Roles of cp1 [control-plane]: Roles of w1 [worker]:   there is no role `wrker`: control-plane,worker,etcd,storage\n",
        ] {
            assert!(questions.contains(question), "{question:?} in {questions:?}");
        }
    }

    #[test]
    fn what_is_known_is_not_asked_for() {
        let all = Known {
            name: Some("a".into()),
            kubernetes: Some("1.20.2".into()),
            user: Some("root".into()),
            hosts: Some(Vec::new()),
            ..known()
        };
        let (start, questions) = held("", &all);
        assert!(start.is_ok() && questions.is_empty(), "{questions}");
    }

    #[test]
    fn answers_that_end_are_no_answers() {
        let (start, _) = held("office\n", &known());
        assert_eq!(start.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
