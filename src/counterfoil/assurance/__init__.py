"""What others do so that nobody has to believe the operator: witnesses, who each keep the log from telling two stories."""
