"""The agent of a runner host: claims attempts from the gateway, has the local runner run them, reports them.

It keeps no state. Killed at any moment, it leaves a lease that runs out and an attempt that its next life
deletes.
"""
