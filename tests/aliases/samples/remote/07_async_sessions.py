async def process_with_session(ctx, item):
    """Processa item com sessão própria."""
    token = await ctx.acquire_session_async()
    try:
        result = await ctx.invoke_with_token_async(
            token, "ServiceName", build_request(item)
        )
        return result
    finally:
        await ctx.finalize_session_async(token)

async def main():
    async with AsyncSankhyaContext.from_settings() as ctx:
        items = [...]
        
        # Processa todos em paralelo
        results = await asyncio.gather(*[
            process_with_session(ctx, item)
            for item in items
        ])
