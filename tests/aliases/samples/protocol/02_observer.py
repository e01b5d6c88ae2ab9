class SessionObserverProtocol:

    async def update(self, event: SessionEvent):  # pragma: nocover
        ...
