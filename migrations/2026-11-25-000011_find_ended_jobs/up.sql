-- What an operator looks for without naming a kind: few rows among all that are done.
CREATE INDEX jobs_given_up ON jobs (state, id) WHERE state IN ('dead', 'cancelled');
