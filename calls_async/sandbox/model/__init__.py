"""What the sandbox knows: account, campaigns, jobs, and the calls that are made for them. Pure but for the clock."""
