"""What the demo, the benchmarks, the binary's self-test and the e2e tests share. Standard library only."""
