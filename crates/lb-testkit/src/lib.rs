//! Test helpers of the edge-lb workspace: virtual clock, scripted backends, port-0 helpers.
