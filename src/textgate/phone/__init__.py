"""A phone in the terminal: a stand-in for SMS Gateway for Android that behaves like the app.

It stands on the same rooms as the server. Its own store holds its messages, its webhooks and what
is owed to them; the *handset* takes messages from there and "sends" them; the *uplink* brings a
server's messages in and reports back over HTTP; in local mode ``api/local`` serves that same store.
"""
