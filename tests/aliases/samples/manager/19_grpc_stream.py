async def StreamAudio(self, request, context):
    session_data = await self.session_manager.create_session(
        user_agent=context.user_agent,
        ip_address=context.peer(),
        context={'request_type': 'audio_stream'}
    )

    session_id = session_data['session_id']
    hardware_id = session_data['hardware_id']

    try:
        async for audio_chunk in self.process_audio(request.text):
            if session_data['interrupt_flag']:
                break
            yield audio_chunk

    finally:
        await self.session_manager.interrupt_session(session_id, "completed")
