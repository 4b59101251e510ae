"""Many runs and what may be concluded from them: plan, arms, runner, store, statistics, verdict."""
